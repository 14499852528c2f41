"""Names, shops, amounts and rhythms: what the week is made of.

Amounts are quantiles in cents (see `Dice.draw`): most payments are small and a few are large.
"""

from __future__ import annotations

from typing import NamedTuple

from workbench.samples.dice import Weighted

GIVEN = (  # noqa: SIM905 - a list literal would take a line a name
    "Ada Amir Anouk Aylin Bela Bruno Carla Chidi Clara Dario Dilan Edda Elif Emil Esra Fatou Felix "
    "Frieda Greta Hana Hugo Ida Imani Ines Ivan Jana Jonas Kaya Kofi Lars Lena Lina Luca Mai Marta "
    "Mateo Milo Mira Nadia Nils Noor Oskar Paula Pia Quentin Rana Rosa Sami Selma Sven Tara Theo "
    "Tilda Uma Viktor Wanda Yara Yusuf Zoë Žofia"
).split()
FAMILY = (  # noqa: SIM905
    "Abbott Adeyemi Albers Andersen Aydın Bakker Baran Bergström Bianchi Bauer Costa Dahl Demir "
    "Dvořák Eriksen Falk Ferreira Fischer Garcia Grant Haas Hansen Ilić Jansen Kaya Keller Klein "
    "Kovač Kowalska Laurent Lindqvist Lopez Marino Mensah Meyer Moreau Müller Nguyen Novak Okafor "
    "Olsen Papadaki Petrov Quist Rossi Sato Schmid Silva Sørensen Tanaka Thiel Ueda Vogel Weber "
    "Winter Yıldız Young Zapata Zeller Ziegler"
).split()

BRANCHES = Weighted(
    {"Old Town": 30, "Harbour": 22, "Station": 20, "University": 16, "Hillside": 12}
)
PRODUCTS = Weighted({"current": 62, "savings": 28, "student": 10})
LIMITS = {
    "current": Weighted({50_000: 4, 100_000: 4, 200_000: 2}),
    "savings": Weighted({0: 1}),
    "student": Weighted({0: 2, 30_000: 1}),
}
EMPLOYERS = (
    "Brightwater Shipyard",
    "City of Nordhaven",
    "Ferry & Tide Lines",
    "Hillside Hospital",
    "Kettle & Crumb Bakeries",
    "Lantern Software",
    "Nordhaven University",
    "Quayside Logistics",
    "Station Street School",
    "Windmill Energy",
)
TELLERS = ("teller.a.quist", "teller.k.brandt", "teller.m.olsen", "teller.r.sato")


class Shop(NamedTuple):
    """A merchant: what it takes, and by which channel."""

    name: str
    channel: str
    cents: tuple[int, ...]


_SMALL = (120, 260, 340, 420, 510, 640, 820, 1_150, 2_400)
_BASKET = (310, 890, 1_480, 2_120, 2_890, 3_940, 5_610, 8_700, 21_000)
_MEAL = (690, 1_180, 1_560, 1_990, 2_480, 3_150, 4_200, 6_100, 14_500)
_GOODS = (590, 1_499, 2_299, 3_499, 4_999, 7_499, 11_999, 19_999, 64_900)
_TICKET = (180, 290, 290, 340, 480, 890, 1_990, 3_990, 11_900)
_TRAVEL = (2_900, 6_900, 9_900, 14_900, 19_900, 27_500, 38_000, 54_000, 98_000)

SHOPS = Weighted(
    {
        Shop("Corner Market", "card-terminal", _BASKET): 20,
        Shop("Green Basket", "card-terminal", _BASKET): 15,
        Shop("Kettle & Crumb", "card-terminal", _SMALL): 14,
        Shop("Tram & Ferry", "card-terminal", _TICKET): 11,
        Shop("Noodle Harbour", "card-terminal", _MEAL): 7,
        Shop("Café Meridian", "card-terminal", _SMALL): 8,
        Shop("Station Pharmacy", "card-terminal", _MEAL): 4,
        Shop("Fuel & Go", "card-terminal", _BASKET): 5,
        Shop("Larder Online", "online", _BASKET): 6,
        Shop("Parcel Planet", "online", _GOODS): 12,
        Shop("Streamhouse", "online", (799, 999, 1_099, 1_299, 1_499)): 4,
        Shop("Old Town Books", "online", _MEAL): 3,
        Shop("Nightline Travel", "online", _TRAVEL): 1,
    }
)
HOME = "FI"
COUNTRIES = Weighted({HOME: 940, "SE": 16, "EE": 14, "DE": 12, "GB": 8, "FR": 5, "ES": 5})
DEVICES = Weighted({"phone/android": 45, "phone/ios": 35, "browser": 20})

#: What customers do, in records; a transfer takes two.
KINDS = Weighted({"card_payment": 66, "withdrawal": 11, "deposit": 6, "transfer": 17})

WITHDRAWAL = (2_000, 2_000, 4_000, 5_000, 6_000, 10_000, 15_000, 20_000, 40_000)
DEPOSIT = (1_000, 2_500, 5_000, 8_000, 12_000, 20_000, 35_000, 60_000, 180_000)
TRANSFER = (500, 1_200, 2_000, 3_000, 4_500, 7_000, 12_000, 25_000, 90_000)
OPENING = (40_000, 90_000, 140_000, 200_000, 280_000, 400_000, 600_000, 1_000_000, 2_600_000)
SALARY = (98_000, 156_000, 198_000, 229_000, 258_000, 291_000, 338_000, 412_000, 690_000)
RENT = (42_000, 58_000, 69_000, 78_000, 86_000, 95_000, 108_000, 126_000, 190_000)

# fmt: off
_WORKDAY = (
    3, 2, 1, 1, 2, 6, 18, 42, 55, 48, 50, 62, 80, 66, 52, 54, 70, 92, 96, 74, 48, 30, 17, 8,
)
_FRIDAY = (
    4, 2, 1, 1, 2, 6, 18, 42, 56, 50, 54, 66, 86, 70, 58, 66, 88, 112, 118, 98, 76, 58, 42, 26,
)
_SATURDAY = (
    18, 12, 8, 5, 3, 4, 8, 18, 40, 70, 96, 108, 104, 98, 92, 88, 82, 74, 68, 60, 52, 44, 34, 22,
)
_SUNDAY = (
    16, 11, 7, 4, 3, 3, 5, 9, 18, 32, 44, 52, 58, 54, 50, 46, 44, 42, 38, 32, 24, 16, 9, 5,
)
# fmt: on

#: The weight of each hour from Monday 00:00 to Sunday 24:00.
RHYTHM = _WORKDAY * 4 + _FRIDAY + _SATURDAY + _SUNDAY
