# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Dask cluster: workers get references, map the same file, and notice when it is another one.

The example runs as a user runs it; the rest is in a program of its own too, since Dask leaves threads behind.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from children import program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "python"


def haystack(path: Path, size: int) -> int:
    """A file of `size` bytes in which 'needle' stands now and then, also across the edges of pieces."""
    with path.open("wb") as file:
        file.truncate(size)
        places = {*range(1000, size - 6, 777_777), *range((8 << 20) - 3, size - 6, 8 << 20)}
        for place in places:
            file.seek(place)
            file.write(b"needle")
    return len(places)


def test_the_example_counts_the_same_as_one_process(tmp_path: Path) -> None:
    expected = haystack(tmp_path / "big", 70 << 20)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "dask_scan.py", tmp_path / "big", "needle"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"(\d+) times 'needle', by (\d) processes\n", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) == expected
    assert int(found[2]) >= 1
    assert "70.0 of 70.0 MiB" in done.stderr


def test_workers_map_this_file_and_no_other(tmp_path: Path) -> None:
    source = """
import os, pickle, shutil, sys
from pathlib import Path
sys.path[:0] = [sys.argv[2]]

def main():
    import dask_scan, mmapguard
    from distributed import Client, LocalCluster
    path = Path(sys.argv[1])
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.run(sys.path.append, sys.argv[2])
        result, = dask_scan.scan(client, path, b"needle")
        assert result.inode == path.stat().st_ino and result.pid != os.getpid()
        with mmapguard.open(path) as region:
            from distributed.protocol import serialize_bytes
            assert len(serialize_bytes(region)) < 4000
            passed = pickle.dumps(region)
        try:
            client.submit(replace_and_open, path, passed).result()
        except mmapguard.StaleError as error:
            print("stale:", error.filename == str(path))

def replace_and_open(path, passed):
    shutil.copy(path, str(path) + ".new")
    os.replace(str(path) + ".new", path)
    return len(pickle.loads(passed))

if __name__ == "__main__":
    main()
"""
    haystack(tmp_path / "big", 5 << 20)
    assert program(source, tmp_path / "big", EXAMPLES).returned() == "stale: True\n"
