"""Kubeconfig files: one cluster, one user with a bearer token, nothing inherited."""

import base64
from pathlib import Path

import yaml


def write_kubeconfig(path: Path, *, api_url: str, ca_file: Path, token: str, namespace: str = "default") -> Path:
    """Write a kubeconfig that only its owner can read; the CA is embedded, so the file can be mounted."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "bench", "cluster": {"server": api_url, "certificate-authority-data": authority}},
        ],
        "users": [{"name": "bench", "user": {"token": token}}],
        "contexts": [
            {"name": "bench", "context": {"cluster": "bench", "user": "bench", "namespace": namespace}},
        ],
        "current-context": "bench",
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
