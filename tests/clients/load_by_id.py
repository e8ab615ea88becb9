# SPDX-License-Identifier: Apache-2.0
"""One load of a model by its id out of a huggingface_hub cache, offline, as a user's program does
it; run by test_by_id.py in the clients' environment, HF_HUB_CACHE pointing at the cache.
usage: load_by_id.py CASE REPO. Prints as load.py does."""

import os

from load import SENTENCES, digest, main, quiet_torch

ABSENT = "no-such-file.json"


def sha256(path) -> str:
    import hashlib
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def transformers_case(repo):
    torch = quiet_torch()
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    assert AutoConfig.from_pretrained(repo).model_type == "bert"
    tokenizer = AutoTokenizer.from_pretrained(repo)
    model = AutoModel.from_pretrained(repo, revision="main").eval()
    with torch.no_grad():
        answer = model(**tokenizer(SENTENCES, padding=True, return_tensors="pt"))
    return ("transformers", "AutoTokenizer, AutoModel .from_pretrained(ID), forward",
            digest(answer.last_hidden_state.numpy(), answer.pooler_output.numpy()))


def pipeline_case(repo):
    quiet_torch()
    import numpy
    from transformers import pipeline
    extract = pipeline("feature-extraction", model=repo, device="cpu")
    return ("transformers", "pipeline(\"feature-extraction\", ID)",
            digest(*(numpy.array(extract(sentence)) for sentence in SENTENCES)))


def sentence_transformers_case(repo):
    quiet_torch()
    from sentence_transformers import SentenceTransformer
    model = SentenceTransformer(repo, device="cpu")
    return ("sentence-transformers", "SentenceTransformer(ID).encode",
            digest(model.encode(SENTENCES)))


def download_case(repo):
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import LocalEntryNotFoundError
    path = hf_hub_download(repo, "tokenizer.json")
    commit = path.split("/snapshots/")[1].split("/")[0]
    assert hf_hub_download(repo, "tokenizer.json", revision=commit) == path
    assert try_to_load_from_cache(repo, "tokenizer.json") == path
    assert try_to_load_from_cache(repo, ABSENT) is None
    for revision in ("main", commit, "no-such-branch"):
        try:
            hf_hub_download(repo, ABSENT, revision=revision)
            raise AssertionError(f"{ABSENT} at {revision} was found")
        except LocalEntryNotFoundError:
            pass
    return "huggingface_hub", "hf_hub_download(ID, ...)", sha256(path)


def snapshot_case(repo):
    from huggingface_hub import snapshot_download
    folder = snapshot_download(repo)
    assert snapshot_download(repo, allow_patterns="*.json") == folder
    names = sorted(os.path.relpath(os.path.join(at, name), folder)
                   for at, _, found in os.walk(folder) for name in found)
    sizes = [[name, os.path.getsize(os.path.join(folder, name))] for name in names]
    return ("huggingface_hub", "snapshot_download(ID), sizes of all files",
            [sizes, sha256(os.path.join(folder, "config.json"))])


def scan_case(repo):
    from huggingface_hub import scan_cache_dir
    found = scan_cache_dir()
    assert not found.warnings, [str(warning) for warning in found.warnings]
    known = [known for known in found.repos if known.repo_id == repo]
    assert len(known) == 1, found
    revision, = known[0].revisions
    assert revision.refs == {"main"}, revision.refs
    return ("huggingface_hub", "scan_cache_dir()",
            sorted([file.file_name, file.size_on_disk] for file in revision.files))


def diffusers_case(repo):
    torch = quiet_torch()
    from diffusers import DiffusionPipeline
    pipe = DiffusionPipeline.from_pretrained(repo)
    pipe.set_progress_bar_config(disable=True)
    found = pipe(generator=torch.manual_seed(7), num_inference_steps=2, output_type="np")
    return "diffusers", "DiffusionPipeline.from_pretrained(ID), 2 steps", digest(found.images)


def dataset_case(repo):
    from huggingface_hub import snapshot_download
    from load_tables import COLUMNS, dataset, numbers_of
    table = dataset(snapshot_download(repo, repo_type="dataset"), columns=COLUMNS)
    return ("datasets", "load_dataset(snapshot_download(ID), columns=2 of 3)", numbers_of(table))


if __name__ == "__main__":
    main(globals())
