"""Explanations of policy as lines for people."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from wardgate.durations import written_as

_VERDICTS: Final = {True: "matches", False: "does not match", None: "not reached"}
_LISTS: Final = (("actions", "actions: the first that matches decides"), ("lifetimes", "lifetimes: the first that matches decides"))
_SPANS: Final = (
    ("transaction_s", "transaction"),
    ("code_s", "code"),
    ("session_s", "session"),
    ("idle_s", "idle"),
    ("reauthentication_s", "reauthentication"),
    ("trusted_device_s", "trusted device"),
)
_WHY_NOT: Final = {
    "lost": "reported lost",
    "forgotten": "the password is what was forgotten",
    "typed": "it was given to say who one is",
    "behind_password": "the mailbox opens with the forgotten password",
    "held": "it is too new",
    "never": "the need excludes it",
    "floor": "a floor excludes it",
    "weighs_nothing": "it weighs nothing",
    "same_source": "another came from the same source",
    "alone": "it counts only beside something else",
}
_MISSING: Final = {
    "proofs": "independent proofs",
    "weight": "weight together",
    "strongest": "weight of one of them",
    "strong_factors": "strong factors, as a floor demands",
    "login_strong_factors": "strong factors, as the login does",
    "login_weight": "weight together, as the login does",
}


def tree(result: Mapping[str, Any]) -> Iterator[str]:
    """An explanation as lines for people."""
    facts = result["facts"]
    when = datetime.fromisoformat(facts["at"]).strftime("%a %Y-%m-%d %H:%M %Z")
    yield f"{result['user']} ({result['directory']}, realm {result['realm']}) for {result['application']}, {facts['goal']}, {when}"
    yield f"  from {facts['client'] or 'an unknown address'}, NAS {facts['nas'] or 'unknown'}"
    yield from _circumstances(facts)
    yield from _assessment(result["assessment"])
    yield f"  has {', '.join(facts['enrolled']) or 'no second factor'}"
    yield f"policy {result['policy']}: the first rule that matches decides"
    for rule in result["rules"]:
        yield from _branch(rule)
    if result["floors"]:
        yield "floors: all that match count"
        for floor in result["floors"]:
            yield from _branch(floor)
    for name, title in _LISTS:
        if result[name]:
            yield title
            for each in result[name]:
                yield from _branch(each)
    yield from _decision(result)


def _circumstances(facts: Mapping[str, Any]) -> Iterator[str]:
    """What is known of machine, country and risk; nothing where nothing is."""
    known = [f"country {facts['country']}"] if facts["country"] else []
    known += ["a known device"] if facts["known_device"] else []
    known += [f"risk {facts['risk']}"] if facts["risk"] else []
    known += [f"{key} {value}" for key, value in facts["device"].items()]
    if known:
        yield f"  {', '.join(known)}"


def _assessment(assessment: Mapping[str, Any] | None) -> Iterator[str]:
    """The score that the login would have now. A band that was told to be assumed stands for its own."""
    if assessment is not None:
        yield f"  scores {assessment['score']}, {assessment['band']}"
        for each in assessment["contributions"]:
            yield f"    {each['points']:>4}  {each['name']}: {each['why']}"


def _branch(looked: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {looked['name']}: {_VERDICTS[looked['matches']]}"
    if looked["when"] is not None:
        yield from _leaves(looked["when"], 2)


def _leaves(told: Mapping[str, Any], depth: int) -> Iterator[str]:
    asks = f": {told['asks']}" if told["asks"] else ""
    name = told["condition"] if told["condition"] != "all" or told["parts"] else "no condition"
    yield f"{'  ' * depth}{'yes' if told['holds'] else 'no '}  {name}{asks}"
    for part in told["parts"]:
        yield from _leaves(part, depth + 1)


def _decision(result: Mapping[str, Any]) -> Iterator[str]:
    if not result["allowed"]:
        why = f"rule {result['rule']} denies" if result["rule"] else "no rule matches"
        yield f"refused: {why}"
        yield from _words(result)
    elif result["self_service"] is not None:
        yield f"allowed, by rule {result['rule']}"
        yield from _words(result)
        yield from _self_service(result["facts"]["goal"], result["self_service"])
    else:
        yield from _steps(result)
        yield from _afterwards(result)
        yield from _words(result)


def _steps(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"asked for, by rule {result['rule']}:"
    if not result["steps"]:
        yield "  nothing more: the NAS vouches for it"
    for number, step in enumerate(result["steps"], start=1):
        yield f"  {number}. {_step(step)}"
    if result["strong_factors"]:
        yield f"  strong factors needed: {result['strong_factors']}"


def _step(step: Mapping[str, Any]) -> str:
    if not step["factors"]:
        return "nothing that counts is left: nobody can come in"
    return " or ".join(step["factors"]) + ("" if step["has"] else "; the user has none of these and cannot come in")


def _afterwards(result: Mapping[str, Any]) -> Iterator[str]:
    if result["demands"]:
        yield "then demanded:"
    for demand in result["demands"]:
        yield f"  {_demand(demand)}"
    spans = _spans(result["lasting"])
    if result["lifetimes"] or not result["lasting"]["trusted_device_s"]:
        yield f"lasting: {spans}"
    fail = result["fail"]
    if (fail["directory_down"], fail["gateway_down"]) != ("grace", "closed"):
        yield f"while a directory is down: {fail['directory_down']}; while no gateway sends: {fail['gateway_down']}"


def _demand(demand: Mapping[str, Any]) -> str:
    verb, _, what = demand["action"].partition(":")
    told = [f"{verb} {' or '.join(demand['factors']) or what}: {demand['level']}"]
    if demand["level"] == "forced":
        told.append(f"may be put off {demand['deferrals']} times" if demand["deferrals"] else "at once")
    if demand["every_s"]:
        told.append(f"every {written_as(demand['every_s'])}")
    told.append({True: "the user has it", False: "the user does not have it", None: "asked for when it is due"}[demand["met"]])
    return ", ".join(told)


def _spans(lasting: Mapping[str, Any]) -> str:
    known = [f"{name} {written_as(lasting[key])}" for key, name in _SPANS if lasting[key]]
    return ", ".join([*known, *([] if lasting["trusted_device_s"] else ["no device is trusted"])])


def _words(result: Mapping[str, Any]) -> Iterator[str]:
    for language, words in result["text"].items():
        yield f"the person is told ({language}): {words}"


def _self_service(goal: str, told: Mapping[str, Any]) -> Iterator[str]:
    for rule in told["rules"]:
        yield from _branch(rule)
    yield f"{goal} needs{', by rule ' + told['rule'] if told['rule'] else ''}:"
    yield from (f"  {line}" for line in _need(told))
    if told["proofs"]:
        yield "presented:"
    for proof in told["proofs"]:
        yield f"  {_proof(proof)}"
    yield "enough" if told["enough"] else "not enough:"
    for each in told["missing"]:
        yield f"  {each['has']} of {each['needed']} {_MISSING[each['what']]}"


def _need(told: Mapping[str, Any]) -> Iterator[str]:
    need, login, weaker = told["need"], told["login"], told["accept_weaker"]
    if not need["proofs"] and not need["weight"]:
        yield "no proof"
        return
    strongest = f", one of them {need['strongest']} by itself" if need["strongest"] else ""
    yield f"independent proofs: {need['proofs']}; weight together: {need['weight']}{strongest}"
    if need["strong_factors"]:
        yield f"strong factors, as a floor demands: {need['strong_factors']}"
    if weaker is not None:
        yield f"may be weaker than the login until {weaker['until']}: {weaker['reason']}"
    elif login["strong_factors"] or login["weight"]:
        yield f"no less than the login: strong factors {login['strong_factors']}, weight {login['weight']}"
    if need["never"]:
        yield f"not counted: {', '.join(need['never'])}"
    if need["alone"]:
        yield f"may stand alone: {', '.join(need['alone'])}"


def _proof(proof: Mapping[str, Any]) -> str:
    name = proof["kind"] + (f" {proof['source']}" if proof["source"] else "")
    counts = [f"weight {proof['weight']}"] if proof["weight"] else []
    counts += [f"{proof['proofs']} proofs"] if proof["proofs"] > 1 else []
    counts += ["strong"] if proof["strong_factors"] else []
    why = f": {_WHY_NOT[proof['why_not']]}" if proof["why_not"] else ""
    return f"{name}: {', '.join(counts)}{why}" if counts else f"{name} counts nothing{why}"
