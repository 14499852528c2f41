"""A view of this process in a page that is no JupyterLab: what any front end of anywidget gives."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from workbench.widgets import assets

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from workbench.widgets.view import View

_PAGE = """
async ([loader, css, modules, title]) => {
  const style = document.createElement("style");
  style.textContent = css;
  document.head.append(style);
  const listeners = new Set();
  const model = {
    get: (name) => ({ _modules: modules, _title: title })[name],
    on: (event, call) => listeners.add(call),
    off: (event, call) => listeners.delete(call),
    send: (content) => window.toKernel(JSON.stringify(content)),
  };
  window.deliver = (content, buffers) => {
    const bytes = buffers.map((buffer) => Uint8Array.from(atob(buffer), (c) => c.charCodeAt(0)));
    for (const call of [...listeners]) call(content, bytes.map((one) => new DataView(one.buffer)));
  };
  const el = document.createElement("div");
  document.body.append(el);
  const url = URL.createObjectURL(new Blob([loader], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  window.shown = widget.render({ model, el });
}
"""


class Plain:
    """A page of its own, not even a secure one, with one view in it."""

    def __init__(self, page: Page, view: View, css: str = "") -> None:
        self.page = page
        self._out: SimpleQueue[tuple[Any, list[bytes]]] = SimpleQueue()
        view.send = self._send  # type: ignore[method-assign]
        page.expose_function("toKernel", lambda said: view._hear(None, json.loads(said), []))
        style = (assets.FOLDER / "style.css").read_text("utf-8") + css
        loader = (assets.FOLDER / "loader.js").read_text("utf-8")
        page.evaluate(_PAGE, [loader, style, view._modules, view._title])

    def _send(self, content: Any, buffers: Any = None) -> None:
        self._out.put((content, [bytes(buffer) for buffer in buffers or []]))

    def until(self, true: Callable[[], Any]) -> None:
        """Carry messages to the page until something is true there."""
        for _ in range(18000):
            try:
                content, buffers = self._out.get_nowait()
            except Empty:
                if true():
                    return
                self.page.wait_for_timeout(10)
                continue
            sent = [base64.b64encode(buffer).decode() for buffer in buffers]
            self.page.evaluate(
                "([content, sent]) => window.deliver(content, sent)", [content, sent]
            )
        raise AssertionError(f"never; the page says {self.page.inner_text('body')!r}")
