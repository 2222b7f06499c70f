"""What a person needs to understand a history that went wrong."""

from tests.faults.world import World

_LOG_CHARACTERS = 4000


def tale(world: World, wrong: str) -> str:
    """What differs, every write with its answers, the end of the operator's log."""
    began = world.proxy.calls[0].at if world.proxy.calls else 0.0
    writes = "\n".join(
        f"  {call.at - began:6.2f} {call.number} {call.label} {call.path.rsplit('/', 1)[-1]}"
        f" stored {call.stored} answered {call.code}"
        for call in world.proxy.writes
    )
    return (
        f"{wrong}\nwrites of {world.namespace}:\n{writes}\nlog:\n{world.log()[-_LOG_CHARACTERS:]}"
    )
