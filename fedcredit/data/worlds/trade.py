"""Relations of the supply graph become invoices by buyer and month; trade abroad and freight follow the same sales."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.world import Floats
from fedcredit.data.worlds.block import Block
from fedcredit.data.worlds.delivery import deliver, monthly, reported, words
from fedcredit.data.worlds.settings import HISTORY
from fedcredit.data.worlds.signals import share, signal, whole

VAT = np.array([0.09, 0.13, 0.09, 0.13, 0.09, 0.06, 0.06, 0.06], dtype=np.float32)  # of INDUSTRIES, since 2019
SMALL_TAXPAYER_VAT = 0.01  # micro companies, relief of 2023-2027
INVOICE_CNY = 30_000.0  # median of one invoice, assumption
CONCENTRATES = 0.45  # how far a bad supply factor tilts sales to the largest buyer
EXPORTERS = ("manufacturing", "wholesale", "agriculture")
SHIPPERS = ("manufacturing", "wholesale", "agriculture", "construction", "transport")
TONNE_CNY = 8_000.0


def invoices(block: Block) -> pa.Table:
    """S03 of one region's sellers: a living relation brings an invoice in most months in which the seller sells."""
    rng = block.generator("invoices")
    edges, months = block.economy.edges, block.settings.months
    run = edges.of_sellers(block.firms)
    seller, buyer = edges.seller[run] - block.firms.start, edges.buyer[run]
    month = np.arange(months)
    live = (edges.since[run, None] <= month) & (month <= edges.until[run, None])
    live &= (block.economy.left[buyer, None] > month) & (block.economy.firms.founded[buyer, None] - HISTORY <= month)
    live &= rng.random(live.shape, dtype=np.float32) < block.world.graph.regularity
    live &= (reported(rng, block, "invoices") & _sells(rng, block))[seller]

    tilt = np.exp(np.float32(-CONCENTRATES) * signal(rng, block.factor("O-B")[:, HISTORY:], block.world.signals))
    edge, when = np.nonzero(live)
    pull = np.exp(np.log(edges.weight[run][edge]) * np.clip(tilt[seller[edge], when], 0.2, 4))
    place = seller[edge] * months + when
    total = np.bincount(place, weights=pull, minlength=len(block) * months)
    part = (pull / total[place]).astype(np.float32)
    amount = part * block.sales[:, HISTORY:][seller[edge], when]
    amount *= np.exp(np.float32(0.1) * rng.standard_normal(len(amount), dtype=np.float32))
    amount = np.maximum(whole(amount), 100)
    order = np.lexsort((buyer[edge], when, seller[edge]))
    edge, when, amount = edge[order], when[order], amount[order]
    rate = np.where(block.size == 0, SMALL_TAXPAYER_VAT, VAT[block.industry])[seller[edge]]
    partners, place = np.unique(buyer[edge], return_inverse=True)
    return deliver(
        rng,
        block,
        "invoices",
        who=seller[edge],
        valid_at=block.settings.month_ends[HISTORY + when],
        columns={
            "buyer": words(place, block.codes[partners].tolist()),
            "buyer_region": block.economy.firms.region[buyer[edge]].astype(np.int64) + 1,
            "amount_cny": amount,
            "tax_cny": np.floor(rate * amount),
            "invoices": 1 + rng.poisson(np.minimum(amount / INVOICE_CNY, 900)),
        },
        revised=["amount_cny", "tax_cny"],
    )


def _sells(rng: np.random.Generator, block: Block) -> NDArray[np.bool_]:
    """(n, months): months with any invoice at all."""
    z = signal(rng, block.factor("O-A")[:, HISTORY:], block.world.signals)
    chance = share(z, block.margin("order_cont")) * block.wane[:, HISTORY:]
    return np.asarray(rng.random(chance.shape, dtype=np.float32) < chance)


def customs(block: Block) -> pa.Table:
    """S05 of one region: exporters and importers among those that make or sell goods."""
    rng = block.generator("customs")
    trades = block.is_of(*EXPORTERS) & (rng.random(len(block)) < block.world.holders.exporter)
    mask = reported(rng, block, "customs") & trades[:, None]
    z = signal(rng, block.factor("O-A")[:, HISTORY:], block.world.signals)
    sales = block.sales[:, HISTORY:]
    abroad = rng.beta(2, 3, (len(block), 1)).astype(np.float32)
    bought = rng.beta(1, 5, (len(block), 1)).astype(np.float32) * (rng.random((len(block), 1)) < 0.5)
    noise = np.exp(np.float32(0.3) * rng.standard_normal(sales.shape, dtype=np.float32))
    known = 1 + rng.poisson(4 * abroad + block.size[:, None], (len(block), 1))
    new = rng.poisson(0.12 * np.exp(0.5 * z) * block.wane[:, HISTORY:])
    return monthly(
        rng,
        block,
        "customs",
        mask=mask,
        columns={
            "exports_cny": whole(abroad * sales * noise),
            "imports_cny": whole(bought * sales * noise),
            "destinations": np.minimum(rng.binomial(known, 0.8, sales.shape) + new, 250),
            "new_destinations": new,
        },
        revised=["exports_cny"],
    )


def logistics(block: Block) -> pa.Table:
    """S16 of one region: freight falls, and is late, before a shock's blow."""
    rng = block.generator("logistics")
    ships = block.is_of(*SHIPPERS) & (rng.random(len(block)) < block.world.holders.logistics)
    mask = reported(rng, block, "logistics") & ships[:, None]
    fewer = np.exp(np.float32(-block.world.shocks.logistics_drop) * block.foreboding[:, HISTORY:])
    density = np.exp(0.5 * rng.standard_normal((len(block), 1), dtype=np.float32))
    noise = np.exp(np.float32(0.15) * rng.standard_normal(fewer.shape, dtype=np.float32))
    tonnes = block.sales[:, HISTORY:] / np.float32(TONNE_CNY) * density * noise * fewer
    return monthly(
        rng,
        block,
        "logistics",
        mask=mask,
        columns={
            "shipments": np.maximum(whole(tonnes / 5), 0).astype(np.int64),
            "tonnes": np.round(tonnes.astype(np.float64), 1),
            "on_time_share": np.round(on_time(rng, block), 3),
        },
        revised=["tonnes"],
    )


def on_time(rng: np.random.Generator, block: Block) -> Floats:
    """(n, months): share of settlements or deliveries in time, by the supply chain factor; less before a shock."""
    z = signal(rng, block.factor("O-B")[:, HISTORY:], block.world.signals) - block.foreboding[:, HISTORY:]
    return share(z, block.margin("on_time_share"))
