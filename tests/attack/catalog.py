"""The attacks by name."""

from __future__ import annotations

from tests.attack.attacker import Attack
from tests.attack.attackers.forms import HeaderParameters, LargeForm, ManyParts
from tests.attack.attackers.grpc_messages import LargeBodies, SmallElements
from tests.attack.attackers.grpc_streams import IdleGrpcConnections, RapidReset, WatchStreams
from tests.attack.attackers.heads import HeaderFloods, NewlinePaths
from tests.attack.attackers.held_connections import HalfBodies, IdleSockets
from tests.attack.attackers.json_bodies import Brackets, CompressedLists, LongNumbers
from tests.attack.attackers.large_images import LargeImages, Scans
from tests.attack.attackers.pipelines import Pipelining
from tests.attack.attackers.trailers import ChunkExtensions, Trailers
from tests.attack.attackers.unread_answers import UnreadAnswers

ATTACKS: tuple[type[Attack], ...] = (
    Trailers,
    ChunkExtensions,
    HeaderParameters,
    ManyParts,
    UnreadAnswers,
    SmallElements,
    LargeBodies,
    WatchStreams,
    RapidReset,
    IdleGrpcConnections,
    LargeForm,
    Scans,
    LargeImages,
    Pipelining,
    IdleSockets,
    HalfBodies,
    CompressedLists,
    Brackets,
    LongNumbers,
    HeaderFloods,
    NewlinePaths,
)
NAMES = tuple(attack.name for attack in ATTACKS)


def attack_of(name: str) -> type[Attack]:
    return ATTACKS[NAMES.index(name)]
