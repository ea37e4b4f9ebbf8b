"""livekit-server, with Redis on the bus when the bench has one: that is what its SIP API needs."""

import urllib.error
import urllib.request

import yaml

from e2e.bench.build import find_binary
from e2e.bench.plan import Plan
from e2e.bench.process import Command


def livekit_command(plan: Plan) -> Command:
    """Run livekit-server where the host and, on a bench with a real node, pods reach it."""
    path = plan.layout.data / "livekit.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(_config(plan)))
    return Command("livekit-server", (str(find_binary("livekit-server")), "--config", str(path)))


def livekit_answers(plan: Plan) -> bool:
    """Tell whether the server takes requests."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(plan.livekit.http_url, timeout=2) as response:
            return bool(response.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    return False


def _config(plan: Plan) -> dict[str, object]:
    config: dict[str, object] = {
        "port": plan.ports["livekit"],
        "bind_addresses": list(plan.bind_addresses),
        "keys": {plan.livekit_key: plan.livekit_secret},
        "rtc": {
            "tcp_port": plan.ports["livekit-tcp"],
            # One port for all media, instead of a range that another bench would overlap.
            "udp_port": plan.ports["livekit-udp"],
            "node_ip": plan.host_address,
            "use_external_ip": False,
            "enable_loopback_candidate": plan.network is None,
            "ips": {"includes": [f"{plan.host_address}/32"]},
        },
        "logging": {"level": "info", "json": True},
    }
    if plan.options.redis:
        config["redis"] = {
            "address": f"{plan.host_address}:{plan.ports['redis']}",
            "password": plan.store_password,
        }
    return config
