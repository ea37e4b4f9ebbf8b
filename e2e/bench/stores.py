"""Redis and Postgres: in memory or without fsync, with a password, gone with the bench."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from e2e.bench.packages import require_program
from e2e.bench.plan import LOOPBACK, Plan
from e2e.bench.process import Command

_POSTGRES_USER = "postgres"


def redis_command(plan: Plan) -> Command:
    """Run Redis without persistence. The password goes into a file, where `ps` can't see it."""
    path = plan.layout.data / "redis.conf"
    path.touch(mode=0o600)
    path.write_text(
        f"port {plan.ports['redis']}\n"
        f"bind {' '.join(plan.bind_addresses)}\n"
        f"requirepass {plan.store_password}\n"
        f"dir {plan.layout.data}\n"
        'save ""\n'
        "appendonly no\n"
        "daemonize no\n"
    )
    return Command("redis", (str(require_program("redis-server")), str(path)))


def redis_answers(plan: Plan) -> bool:
    """Tell whether Redis answers a PING."""
    try:
        with socket.create_connection((plan.host_address, plan.ports["redis"]), timeout=2) as connection:
            connection.sendall(f"AUTH {plan.store_password}\r\nPING\r\n".encode())
            answer = connection.recv(64)
            return answer.startswith(b"+OK")
    except OSError:
        return False


def postgres_command(plan: Plan) -> Command:
    """Make a database and run Postgres on it; it refuses to be root, so root starts it as `postgres`."""
    directory = plan.layout.data / "postgres"
    directory.mkdir(mode=0o700)
    password_file = directory / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(plan.store_password)
    user = "-"
    if os.geteuid() == 0:
        user = _POSTGRES_USER
        for path in (directory, password_file):
            shutil.chown(path, user, user)
    programs = require_program("postgres").parent
    cluster = directory / "cluster"
    steps = [shlex.join(_initdb_words(programs, cluster, password_file))]
    if plan.network is not None:
        allow = f"host all all {plan.network.pod_cidr} scram-sha-256"
        steps.append(f"echo {allow} >> {shlex.quote(str(cluster / 'pg_hba.conf'))}")
    steps.append(f"exec {shlex.join(_postgres_words(plan, programs, cluster))}")
    command = ("/bin/sh", "-c", " && ".join(steps))
    return Command("postgres", command, user=user, stop_signal=signal.SIGQUIT)


def postgres_answers(plan: Plan) -> bool:
    """Tell whether Postgres takes connections; an open port alone may still be starting up."""
    ready = require_program("postgres").parent / "pg_isready"
    command = [str(ready), "--host", LOOPBACK, "--port", str(plan.ports["postgres"]), "--timeout", "1"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _initdb_words(programs: Path, cluster: Path, password_file: Path) -> list[str]:
    flags = {
        "pgdata": str(cluster),
        "username": "voicefleet",
        "pwfile": str(password_file),
        "auth": "scram-sha-256",
        "encoding": "UTF8",
        "locale": "C",
    }
    return [str(programs / "initdb"), "--no-sync", *(f"--{flag}={value}" for flag, value in flags.items())]


def _postgres_words(plan: Plan, programs: Path, cluster: Path) -> list[str]:
    settings = {
        "listen_addresses": ",".join(plan.bind_addresses),
        "port": str(plan.ports["postgres"]),
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        # Shared memory in files of the bench, where its removal removes it.
        "dynamic_shared_memory_type": "mmap",
    }
    words = [str(programs / "postgres"), "-D", str(cluster)]
    for name, value in settings.items():
        words += ["-c", f"{name}={value}"]
    return words
