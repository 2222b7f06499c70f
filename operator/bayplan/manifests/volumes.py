"""Reads volumes from manifests: claims, volumes, classes, and what nodes attach.

The operator's own code reads and keeps them. If a claim is not in the manifests, or they do not say
where it can be mounted, we assume that every node can mount it; a limit to one pod at a time still
holds.
"""

from collections.abc import Iterable

from bayplan.inputs import InputError
from bayplan.manifests.documents import Document
from bayplan.model import state
from bayplan.model.pods import Claim

KINDS = frozenset(
    {"StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CSINode", "VolumeAttachment"}
)


def told(documents: Iterable[Document]) -> state.State:
    """A state that holds claims and what nodes attach, without nodes and pods."""
    book = state.State()
    documents = list(documents)
    if not documents:
        return book
    import msgspec  # only when needed

    from bayplan.cluster import decode, storage, wire

    kept = storage.Storage(book, lambda: None)
    take = {
        "StorageClass": kept.set_class,
        "PersistentVolume": kept.set_volume,
        "PersistentVolumeClaim": kept.set_claim,
        "CSINode": kept.set_limits,
        "VolumeAttachment": kept.attachments.set,
    }
    for document in documents:
        body = {"metadata": {}, **document.body}
        try:
            seen = decode.KINDS[document.kind].decode(msgspec.Raw(msgspec.json.encode(body)))
        except wire.DecodeError as error:
            raise InputError(document.called, str(error)) from error
        take[document.kind](seen)
    for key, claim in book.claims.items():
        if claim.missing:
            book.claims[key] = Claim(claim.name, claim.uid, alone=claim.alone)
    return book
