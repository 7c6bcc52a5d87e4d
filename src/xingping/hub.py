"""Models on the Hugging Face hub: fetched to a folder, and sent from one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from xingping.errors import OutputError, RunDirectoryError, XingpingError

__all__ = ["fetch_model", "send_model"]

FILES = ["*.json", "*.md", "*.safetensors", "*.onnx", "*.onnx.data", "*.txt", "encoder/*"]
"""What a model is made of; nothing that runs code is among it."""


def fetch_model(
    name: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> Path:
    """Return the folder of a model, which is fetched where it is not in the cache.

    Parameters
    ----------
    name
        A folder, or a repository of the hub such as `name/model`.
    revision, token, cache_dir, local_files_only
        As `huggingface_hub.snapshot_download` takes them.

    Raises
    ------
    RunDirectoryError
        It cannot be had.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    import huggingface_hub

    with _told(lambda reason: RunDirectoryError(f"model {name} is no folder, and cannot be fetched ({reason})")):
        return Path(
            huggingface_hub.snapshot_download(
                name,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                local_files_only=local_files_only,
                allow_patterns=FILES,
            )
        )


def send_model(
    write: Callable[[Path, str], None],
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Add a model of xingping",
) -> str:
    """Write a model to a folder and send that to the hub.

    Parameters
    ----------
    write
        Writes it to a folder, given also what it is called on the hub.
    repo_id
        Such as `name/model`; made where there is none.
    private, token, branch, create_pr, commit_message
        As `huggingface_hub.HfApi` takes them.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    OutputError
        The hub does not take it.
    """
    import huggingface_hub

    with (
        TemporaryDirectory() as temporary,
        _told(lambda reason: OutputError(f"cannot send the model to {repo_id} ({reason}); see `hf auth login`")),
    ):
        api = huggingface_hub.HfApi(token=token)
        whole_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if branch is not None:
            api.create_branch(whole_id, branch=branch, exist_ok=True)
        folder = Path(temporary) / "model"
        write(folder, whole_id)
        commit = api.upload_folder(
            repo_id=whole_id,
            folder_path=folder,
            revision=branch,
            create_pr=create_pr,
            commit_message=commit_message,
        )
    return str(commit.commit_url)


@contextmanager
def _told(error_of: Callable[[str], Exception]) -> Iterator[None]:
    """Turn what the hub's client raises, and what it passes on of its HTTP library, into one line."""
    try:
        yield
    except XingpingError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        raise error_of(lines[0][:200] if lines else type(error).__name__) from error
