"""Makes a wheel of the package from the library that cargo built: wheel.py LIBRARY VERSION DIRECTORY. Prints its path.

The library has Python's stable interface, so one wheel serves every Python from 3.9 on, on the platform it was built on.
"""

import base64
import hashlib
import pathlib
import sys
import sysconfig
import zipfile

HERE = pathlib.Path(__file__).parent


def main(library, version, directory):
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag, info = f"cp39-abi3-{platform}", f"lumadb-{version}.dist-info"
    metadata = [
        "Metadata-Version: 2.1",
        "Name: lumadb",
        f"Version: {version}",
        "Summary: LumaDB inside a Python program: SQL with transactions, results as Arrow.",
        "License: Apache-2.0",
        "Requires-Python: >=3.9",
        "Requires-Dist: pyarrow>=14",
        "Description-Content-Type: text/markdown",
        "",
        (HERE / "README.md").read_text(),
    ]
    wheel = ["Wheel-Version: 1.0", "Generator: wheel.py", "Root-Is-Purelib: false", f"Tag: {tag}", ""]
    suffix = ".pyd" if platform.startswith("win") else ".abi3.so"
    files = {f"lumadb/{path.name}": path.read_bytes() for path in sorted((HERE / "python/lumadb").glob("*.py"))}
    files[f"lumadb/_lumadb{suffix}"] = pathlib.Path(library).read_bytes()
    files[f"{info}/METADATA"] = "\n".join(metadata).encode()
    files[f"{info}/WHEEL"] = "\n".join(wheel).encode()
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for name, data in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    path = pathlib.Path(directory) / f"lumadb-{version}-{tag}.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    print(path)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: wheel.py LIBRARY VERSION DIRECTORY")
    main(*sys.argv[1:])
