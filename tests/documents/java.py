"""Compiles Java with Eclipse's compiler, which a Java without a compiler of its own runs."""

import fcntl
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.kafka import jars

COMPILER = "org.eclipse.jdt:ecj:3.33.0"
DIRECTORY = jars.LIBS.parent / "ecj"


def compile_java(source: str, directory: Path) -> str:
    """Compile one public class against Kafka's jars, warnings being errors; its name."""
    name = re.search(r"^public (?:final )?class (\w+)", source, re.MULTILINE)
    assert name, "the example has no public class"
    file = directory / f"{name[1]}.java"
    file.write_text(source)
    libraries = jars.classpath()
    paths = ":".join(str(jar) for jar in Path(libraries.removesuffix("/*")).glob("*.jar"))
    command = [
        jars.java(),
        "-jar",
        str(_compiler()),
        "-17",
        "-failOnWarning",
        "-cp",
        paths,
        "-d",
        str(directory),
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return name[1]


def _compiler() -> Path:
    """Return the path of the compiler's jar, which Maven downloads once."""
    jar = DIRECTORY / "{1}-{2}.jar".format(*COMPILER.split(":"))
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with (DIRECTORY.parent / "ecj.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not jar.exists():
            maven = shutil.which("mvn")
            assert maven, "the Java examples need `mvn` on the path to bring their compiler"
            copy = ["dependency:copy", f"-Dartifact={COMPILER}", f"-DoutputDirectory={DIRECTORY}"]
            subprocess.run([maven, "-q", "-B", *copy], check=True, timeout=jars.MAVEN_LIMIT_S)
    return jar
