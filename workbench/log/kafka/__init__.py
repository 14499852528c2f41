"""Apache Kafka as a log: the same contract as the embedded log, on a cluster that is there.

What a user needs to be allowed (ACLs of the cluster), by what is done.  READ and WRITE include
DESCRIBE.  What is not listed needs a login, and no more; nothing needs permissions on the cluster
as a whole.

    partitions(), times      DESCRIBE topic
    frame(), sql(), find()   READ topic
    retention in topics()    DESCRIBE topic, DESCRIBE_CONFIGS topic
    group(name)              DESCRIBE topic, DESCRIBE group
    follow(group=)           READ topic, READ group
    append()                 WRITE topic
    create()                 CREATE topic, DESCRIBE topic

`topics()` and `groups()` list what the user may DESCRIBE.  Who appends records of long ago and may
READ as well has them once, whatever happens to brokers and connections; see `produce.Appender`.
"""

from workbench.log.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
