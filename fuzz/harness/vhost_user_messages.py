"""A vhost-user connection on which anything is said: the oracle, our back-end and our front-end survive it."""

from fuzz.harness import start, texts
from fuzz.harness.raising import report

MODULES = (
    "oracles.conversation",
    "oracles.message_oracle",
    "oracles.message_rules",
    "oracles.frontend_rules",
    "fuzz.targets.model.speaking",
    "fuzz.targets.model.backend",
    "fuzz.targets.vhost_user.frontend",
)


def TestOneInput(data: bytes) -> None:
    """One input."""
    found = texts.vhost_user_messages(data)
    if found is not None:
        report(found)


if __name__ == "__main__":
    start.start(TestOneInput, MODULES)
