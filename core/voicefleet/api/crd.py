"""The CustomResourceDefinition of a kind, whole."""

from typing import Any

from voicefleet.api.resource import GROUP, VERSION, Column, KindInfo, Resource
from voicefleet.api.schema import Schema, structural_schema


def build_crd(kind: type[Resource]) -> dict[str, Any]:
    """Return the manifest that teaches an apiserver this kind."""
    info = kind.INFO
    name = kind.__name__
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{info.plural}.{GROUP}", "labels": {"app.kubernetes.io/part-of": "voicefleet"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": info.plural,
                "singular": name.lower(),
                "shortNames": [info.short_name],
                "categories": list(info.categories),
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root_schema(kind)},
                    "subresources": _subresources(info),
                    "additionalPrinterColumns": [_column(column) for column in info.columns],
                    **(
                        {"selectableFields": [{"jsonPath": path} for path in info.selectable]}
                        if info.selectable
                        else {}
                    ),
                }
            ],
        },
    }


def _root_schema(kind: type[Resource]) -> Schema:
    schema = structural_schema(kind)
    properties = schema["properties"]
    # The server owns the envelope and lets a schema say no more than this about it.
    properties["apiVersion"] = {"type": "string", "description": "Version of this schema."}
    properties["kind"] = {"type": "string", "description": f"{kind.__name__}."}
    properties["metadata"] = {"type": "object"}
    schema["required"] = ["spec"]
    return schema


def _subresources(info: KindInfo) -> dict[str, Any]:
    if info.scale is None:
        return {"status": {}}
    scale = {
        "specReplicasPath": info.scale.spec,
        "statusReplicasPath": info.scale.status,
        "labelSelectorPath": info.scale.selector,
    }
    return {"status": {}, "scale": scale}


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
        **({"priority": 1} if column.wide else {}),
    }
