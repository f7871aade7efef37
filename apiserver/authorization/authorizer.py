"""What every authorizer is, several of them as one, and those that need no rules."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from apimachinery import codec, errors
from apimachinery.types.authorization_v1 import NonResourceRule, ResourceRule
from apiserver.request import Attributes, User

R = TypeVar("R", ResourceRule, NonResourceRule)

MASTERS: Final = "system:masters"


class Decision(Struct, frozen=True):
    """What one authorizer says of a request."""

    outcome: Literal["allow", "deny", "no opinion"]
    """Both others end the question; with no opinion the next authorizer is asked, and in the end nothing is allowed."""
    reason: str = ""
    """For people: part of the answer to a client that is refused, and of an access review."""

    @property
    def allows(self) -> bool:
        return self.outcome == "allow"


ALLOW: Final = Decision("allow")
NO_OPINION: Final = Decision("no opinion")


class Rules(NamedTuple):
    """What a user may do in a namespace, as an access review lists it."""

    resource: Sequence[ResourceRule] = ()
    non_resource: Sequence[NonResourceRule] = ()
    is_incomplete: bool = False
    """Whether there may be more, of an authorizer that only answers single questions."""
    error: str = ""


EVERYTHING: Final = Rules(
    [ResourceRule(verbs=["*"], api_groups=["*"], resources=["*"])],
    [NonResourceRule(verbs=["*"], non_resource_urls=["*"])],
)


class Authorizer(Protocol):
    async def decide(self, attributes: Attributes) -> Decision:
        """Raises ServiceUnavailable while it cannot know."""
        ...

    def rules_for(self, user: User, namespace: str) -> Rules: ...


class Union:
    """Authorizers that are asked in turn: the first that has an opinion decides."""

    def __init__(self, authorizers: Sequence[Authorizer] = ()) -> None:
        self._authorizers = authorizers

    def use(self, authorizers: Sequence[Authorizer]) -> None:
        """Ask these from now on; without any, nothing is allowed."""
        self._authorizers = authorizers

    async def decide(self, attributes: Attributes) -> Decision:
        reasons = []
        for authorizer in self._authorizers:
            decision = await authorizer.decide(attributes)
            if decision.outcome != "no opinion":
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision("no opinion", "; ".join(reasons))

    async def authorize(self, attributes: Attributes) -> None:
        """Return if the request is allowed. Raises Forbidden if it is not."""
        decision = await self.decide(attributes)
        if not decision.allows:
            raise forbidden(attributes, decision.reason)

    def rules_for(self, user: User, namespace: str) -> Rules:
        every = [authorizer.rules_for(user, namespace) for authorizer in self._authorizers]
        return Rules(
            _distinct(rule for rules in every for rule in rules.resource),
            _distinct(rule for rules in every for rule in rules.non_resource),
            any(rules.is_incomplete for rules in every),
            "; ".join(rules.error for rules in every if rules.error),
        )


def _distinct(rules: Iterable[R]) -> list[R]:
    """Each once: an authorizer may repeat what one before it allows."""
    return list({codec.encode(rule): rule for rule in rules}.values())


class Masters:
    """The group system:masters may do everything, whatever is stored: it comes first, so that nobody is locked out."""

    async def decide(self, attributes: Attributes) -> Decision:
        return ALLOW if MASTERS in attributes.user.groups else NO_OPINION

    def rules_for(self, user: User, namespace: str) -> Rules:
        return EVERYTHING if MASTERS in user.groups else Rules()


class AlwaysAllow:
    """Every user may do everything."""

    async def decide(self, attributes: Attributes) -> Decision:
        return ALLOW

    def rules_for(self, user: User, namespace: str) -> Rules:
        return EVERYTHING


class AlwaysDeny:
    """Nobody may do anything that no other authorizer allows."""

    async def decide(self, attributes: Attributes) -> Decision:
        return Decision("no opinion", "Everything is forbidden.")

    def rules_for(self, user: User, namespace: str) -> Rules:
        return Rules()


def forbidden(attributes: Attributes, reason: str) -> errors.Forbidden:
    """The refusal, in the words of Kubernetes' apiserver (endpoints/handlers/responsewriters)."""
    user, verb = attributes.user.name, attributes.verb
    if not attributes.resource:
        refused = f'User "{user}" cannot {verb} path "{attributes.path}"'
    else:
        subresource = f"/{attributes.subresource}" if attributes.subresource else ""
        where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
        refused = (
            f'User "{user}" cannot {verb} resource "{attributes.resource}{subresource}" in API group '
            f'"{attributes.group}" {where}'
        )
    return errors.forbidden(
        attributes.resource, attributes.group, attributes.name, f"{refused}: {reason}" if reason else refused
    )
