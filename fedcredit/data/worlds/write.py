"""Settings become an economy on disk: raw tables region by region, reports, a market, and the truth apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from fedcredit.data.worlds import banking, court, growth, inputs, penalties, pledges, registry, statements, trade
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.fate import Economy, simulate
from fedcredit.data.worlds.market import demand, offers
from fedcredit.data.worlds.population import codes
from fedcredit.data.worlds.reports import reports
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.truth import write_truth
from fedcredit.errors import TableError

RAW: Mapping[str, Callable[[Block], pa.Table]] = {
    "registration": registry.registration,
    "tax": statements.tax,
    "invoices": trade.invoices,
    "judicial": court.judicial,
    "customs": trade.customs,
    "social_security": inputs.social_security,
    "housing_fund": inputs.housing_fund,
    "power": inputs.power,
    "water": inputs.water,
    "gas": inputs.gas,
    "patents": growth.patents,
    "bank": banking.bank,
    "environment": penalties.environment,
    "procurement": growth.procurement,
    "pledges": pledges.pledges,
    "logistics": trade.logistics,
    "titles": growth.titles,
    "penalties": penalties.penalties,
}
DICTIONARY_BYTES = 32 * 2**20  # a region's codes stay a dictionary


def write(settings: WorldSettings, folder: Path, *, on_region: Callable[[int, int], None] | None = None) -> Path:
    """The economy in `folder`: raw/<table>.parquet, reports.parquet, market/, truth/, world.yaml.

    `on_region(done, all)` is called after each region. An economy that is there before is replaced only when all is
    written; equal settings give equal bytes with the same versions of numpy and pyarrow.

    Raises:
        TableError: the folder holds something else.
    """
    folder = folder.resolve()
    if folder.exists() and not (folder / "world.yaml").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise TableError(
            folder.name, found="a folder with other things in it", expected="a new folder, or an economy's"
        )
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        for name in ("raw", "truth", "market"):
            (part / name).mkdir(parents=True)
        economy = simulate(settings)
        _write_regions(economy, part, on_region=on_region)
        write_truth(economy, part / "truth")
        pq.write_table(offers(settings, economy.world), part / "market" / "offers.parquet", compression="zstd")
        said = economy.world.as_dict() | {"settings": asdict(settings)}
        (part / "world.yaml").write_text(yaml.safe_dump(said, allow_unicode=True, sort_keys=False), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        return part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_regions(economy: Economy, folder: Path, *, on_region: Callable[[int, int], None] | None) -> None:
    """Everything that has rows by region, so that memory holds the rows of one region at a time."""
    company_codes = codes(economy.firms)
    regions = range(economy.settings.regions)
    with ExitStack() as files:
        writers: dict[str, pq.ParquetWriter] = {}
        for region in regions:
            block = Block(economy, region, economy.firms.slice_of(region), company_codes)
            if len(block):
                for name, table in _tables(block):
                    if name not in writers:
                        writers[name] = files.enter_context(_writer(folder / f"{name}.parquet", table.schema))
                    writers[name].write_table(table, row_group_size=2**20)
            if on_region is not None:
                on_region(region + 1, len(regions))


def _tables(block: Block) -> Iterator[tuple[str, pa.Table]]:
    for table, make in RAW.items():
        yield f"raw/{table}", make(block)
    written, passages = reports(block)
    yield "reports", written
    yield "truth/passages", passages
    yield "market/demand", demand(block)


def _writer(path: Path, kinds: pa.Schema) -> pq.ParquetWriter:
    floats = [f.name for f in kinds if pa.types.is_floating(f.type)]
    return pq.ParquetWriter(
        path,
        kinds,
        compression="zstd",
        compression_level=1,
        use_dictionary=[f.name for f in kinds if f.name not in (*floats, "text")],
        use_byte_stream_split=floats,
        dictionary_pagesize_limit=DICTIONARY_BYTES,
    )
