"""Settings become an economy on disk: raw tables region by region, reports, a market, and the truth apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fedcredit.data.worlds import banking, growth, inputs, records, statements, trade
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import schema
from fedcredit.data.worlds.fate import Economy, simulate
from fedcredit.data.worlds.population import codes
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.truth import write_truth

TABLES: Mapping[str, Callable[[Block], pa.Table]] = {
    "registration": records.registration,
    "tax": statements.tax,
    "invoices": trade.invoices,
    "judicial": records.judicial,
    "customs": trade.customs,
    "social_security": inputs.social_security,
    "housing_fund": inputs.housing_fund,
    "power": inputs.power,
    "water": inputs.water,
    "gas": inputs.gas,
    "patents": growth.patents,
    "bank": banking.bank,
    "environment": records.environment,
    "procurement": growth.procurement,
    "pledges": records.pledges,
    "logistics": trade.logistics,
    "titles": growth.titles,
    "penalties": records.penalties,
}
DICTIONARY_BYTES = 32 * 2**20  # a region's codes stay a dictionary


def write(settings: WorldSettings, folder: Path, *, on_region: Callable[[int, int], None] | None = None) -> Path:
    """The economy in `folder`: raw/<table>.parquet, reports.parquet, market/, truth/, world.yaml.

    `on_region(done, all)` is called after each region. What is there before is replaced only when all is written.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        (part / "raw").mkdir(parents=True)
        economy = simulate(settings)
        _write_raw(economy, part / "raw", on_region=on_region)
        write_truth(economy, part / "truth")
        said = economy.world.as_dict() | {"settings": vars_of(settings)}
        (part / "world.yaml").write_text(yaml.safe_dump(said, allow_unicode=True, sort_keys=False), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        return part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def vars_of(settings: WorldSettings) -> dict[str, object]:
    """Settings as plain values."""
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def _write_raw(economy: Economy, folder: Path, *, on_region: Callable[[int, int], None] | None) -> None:
    company_codes = codes(economy.firms)
    regions = range(economy.settings.regions)
    writers = {table: _writer(folder, table) for table in TABLES}
    try:
        for region in regions:
            block = Block(economy, region, economy.firms.slice_of(region), company_codes)
            if len(block):
                for table, make in TABLES.items():
                    writers[table].write_table(make(block), row_group_size=2**20)
            if on_region is not None:
                on_region(region + 1, len(regions))
    finally:
        for writer in writers.values():
            writer.close()


def _writer(folder: Path, table: str) -> pq.ParquetWriter:
    kinds = schema(table)
    floats = [f.name for f in kinds if pa.types.is_floating(f.type)]
    return pq.ParquetWriter(
        folder / f"{table}.parquet",
        kinds,
        compression="zstd",
        compression_level=1,
        use_dictionary=[f.name for f in kinds if f.name not in floats],
        use_byte_stream_split=floats,
        dictionary_pagesize_limit=DICTIONARY_BYTES,
    )
