"""What the serving image leaves out of its libraries, and what it must not."""

from __future__ import annotations

from pathlib import Path

from infra.docker.install import slim

STAYS = (
    "PIL/_imaging.so",
    "PIL/_webp.so",
    "botocore/data/endpoints.json",
    "botocore/data/s3/service.json",
    "numpy/core.py",
    "onnxruntime/capi/onnxruntime_pybind11_state.so",
    "pillow.libs/libwebp-1.so",
    "sqlalchemy/dialects/postgresql/psycopg2.py",
    "sqlalchemy/dialects/sqlite/pysqlite.py",
)
GOES = (
    "PIL/_avif.so",
    "PIL/_imagingft.so",
    "botocore/data/ec2/service.json",
    "numpy/__init__.pyi",
    "numpy/_core/include/numpy/array.h",
    "numpy/_core/tests/test_array.py",
    "onnxruntime/capi/libonnxruntime.so.1.2.3",
    "onnxruntime/tools/convert.py",
    "pillow.libs/libavif-1.so",
    "sqlalchemy/dialects/mysql/base.py",
    "sqlalchemy/engine/row.pyx",
)


def test_what_no_node_reads_goes_and_everything_else_stays(tmp_path: Path):
    for name in (*STAYS, *GOES):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    slim(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*STAYS}
    slim(tmp_path)
