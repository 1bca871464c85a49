"""Upload a predictor to the Hugging Face hub: its folder, its card, and its weights as PyTorch's transformers reads them."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbert.models import weights
from halfbert.output.card import model_card
from halfbert.output.record import Published, Record
from halfbert.predictor import manifest
from halfbert.predictor.manifest import MANIFEST
from halfbert.system import storage, temporary
from halfbert.system.errors import ResourceError

CARD = "README.md"
SAFETENSORS = "model.safetensors"


def check(name: str) -> None:
    """Raise ResourceError where nothing could be uploaded as the repository `name`; the hub is not asked."""
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise ResourceError(f"--push-to-hub {name}: HF_HUB_OFFLINE keeps the hub out of reach; unset it")
    if get_token() is None:
        raise ResourceError(f"--push-to-hub {name}: no token of the hub; log in with `hf auth login`, or set HF_TOKEN")


def push(folder: Path, record: Record, name: str, update: bool) -> Published:
    """Upload a saved predictor in one commit as the private repository `name`; with `update` it may exist.

    What the manifest names is uploaded, but for `epochs/`; the card and the manifest are made for the hub, and what an updated
    repository had besides is removed. Raises ResourceError where that fails; the folder is only read.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi()
    with temporary.folder() as scratch:
        files = _files(folder, record, name, scratch)
        operations: list[Any] = [CommitOperationAdd(where, str(file)) for where, file in files.items()]
        try:
            repository = api.create_repo(name, private=True, exist_ok=update).repo_id
            info = api.repo_info(repository)
            there = {each.rfilename for each in info.siblings or []}
            operations += [CommitOperationDelete(each) for each in sorted(there - files.keys() - {".gitattributes"})]
            commit = api.create_commit(repository, operations, commit_message=f"{folder.name}, by halfbert")
        except (OSError, ValueError) as error:  # HTTP, connection, token; names and answers that make no sense
            said = " ".join(str(error).split())[:300]
            raise ResourceError(
                f"not uploaded to the hub as {name} ({said}); {folder} is saved, upload it with: hf upload {name} {folder}"
            ) from error
    return Published(repository, commit.oid, private=bool(info.private))


def address(published: Published) -> str:
    """Where to see it, on the hub or what HF_ENDPOINT puts in its place."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{published.repository} ({'private' if published.private else 'public'})"


def _files(folder: Path, record: Record, name: str, scratch: Path) -> dict[str, Path]:
    """Every file by its path in the repository; what is made for the hub is written into `scratch`."""
    stated = manifest.read(folder)
    weights.export_safetensors(weights.read(folder), scratch / "export")
    named = [each for each in stated.files if not each.startswith("epochs/")]
    files = {each: folder / each for each in named} | {SAFETENSORS: scratch / "export" / SAFETENSORS, CARD: scratch / CARD}
    storage.write_text(model_card(stated, record, name.rpartition("/")[2], hub_name=name), files[CARD])
    digests = {**stated.files, **{each: storage.sha256(files[each]) for each in (SAFETENSORS, CARD)}}
    manifest.write(replace(stated, files={each: digests[each] for each in files}), scratch)
    return files | {MANIFEST: scratch / MANIFEST}
