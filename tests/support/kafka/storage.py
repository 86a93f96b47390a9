"""Format a broker's log directories, as Kafka's StorageTool does."""

import fcntl
import secrets
import shutil
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from tests.support.kafka import jars

FORMAT_LIMIT_S = 120
CHECKPOINT = "bootstrap.checkpoint"
"""Feature levels of a new cluster, the same for every node of a version of Kafka."""
META_PROPERTIES = """\
node.id={node}
directory.id={directory}
version=1
cluster.id={cluster}
"""


def format_storage(disks: Sequence[Path], properties: Path, node: int, cluster_id: str) -> None:
    """Format the log directories of a node, the first also for metadata; `properties` is its server.properties.

    The tool runs once for a version of Kafka: it takes 0.9 s of CPU to write two small files.
    """
    for disk in disks:
        disk.mkdir()
        directory = urlsafe_b64encode(b"\x40" + secrets.token_bytes(15)).decode().rstrip("=")  # no "-" at the beginning
        meta = META_PROPERTIES.format(node=node, directory=directory, cluster=cluster_id)
        (disk / "meta.properties").write_text(meta)
    shutil.copy(_checkpoint(properties, cluster_id), disks[0] / CHECKPOINT)


def _checkpoint(properties: Path, cluster_id: str) -> Path:
    """Return the checkpoint that the tool wrote; it lies beside the jars, and is replaced with them."""
    jars.classpath()
    checkpoint = jars.LIBS / CHECKPOINT
    with jars.LIBS.with_suffix(".formatted.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not checkpoint.exists():
            _run_storage_tool(properties, cluster_id, checkpoint)
    return checkpoint


def _run_storage_tool(properties: Path, cluster_id: str, checkpoint: Path) -> None:
    with tempfile.TemporaryDirectory(dir=checkpoint.parent) as temporary:
        own = Path(temporary) / "server.properties"
        own.write_text(f"{properties.read_text()}log.dirs={temporary}/data\n")  # of two lines the last one counts
        formatting = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(own)]
        done = subprocess.run(
            [jars.java(), *jars.soon_gone(), "-cp", jars.classpath(), *formatting],
            cwd=temporary,
            capture_output=True,
            text=True,
            timeout=FORMAT_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")
        (Path(temporary) / "data" / CHECKPOINT).rename(checkpoint)
