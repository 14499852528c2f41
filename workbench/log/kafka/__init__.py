"""Apache Kafka as a log: the same contract as the embedded log, on a cluster that is there."""

from workbench.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
