"""Plans of ablations: files of variants, and the config of every run that they ask for."""

from collections.abc import Iterator, Mapping, Sequence

from workflow.lib.jobs.configuration import merge, schema_faults
from workflow.lib.jobs.contradictions import check_config
from workflow.lib.measures.ablation import Run, Target

PARTS = ("targets", "common", "variants")  # of a file of variants
GIVEN = ("study", "seed")  # settings that tell the runs apart


def resolve(settings: object, study: Mapping) -> object:
    """`settings` with what stands in `study` in place of every {study: dotted.key}.

    {study: dotted.key, instead_of: {word: other}} is `other` where the study has `word` there.
    Raises ValueError for a key that the study has not.

    >>> resolve({"a": {"study": "b.c"}}, {"b": {"c": 7}})
    {'a': 7}
    >>> resolve({"study": "b", "instead_of": {"x": {"study": "c"}}}, {"b": "x", "c": "y"})
    'y'
    """
    if not isinstance(settings, Mapping):
        return settings
    if "study" not in settings or not set(settings) <= {"study", "instead_of"}:
        return {key: resolve(value, study) for key, value in settings.items()}
    found: object = study
    for key in str(settings["study"]).split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise ValueError(
                f"the study has no setting {settings['study']}; see config/config.yaml"
            )
        found = found[key]
    others = settings.get("instead_of") or {}
    return resolve(others[found], study) if isinstance(found, str) and found in others else found


def without(plan: object, names: Sequence[str]) -> object:
    """The plan without the variants of these names; what is no plan stays as it is.

    Raises ValueError for a name that is no variant.
    """
    variants = plan.get("variants") if isinstance(plan, Mapping) else None
    if not isinstance(variants, Mapping):
        return plan
    if unknown := [name for name in names if name not in map(str, variants)]:
        raise ValueError(
            f"no variant is called {', '.join(unknown)}; {', '.join(map(str, variants))} are"
        )
    return {**plan, "variants": {k: v for k, v in variants.items() if str(k) not in names}}


def plan_faults(plan: object, *, least: int = 2) -> list[str]:
    """What is wrong with a file of variants, apart from the settings in it, one sentence each.

    least: variants that it needs, a baseline and one to compare with it unless told otherwise.
    """
    if not isinstance(plan, Mapping):
        return ["it holds no targets and no variants; see config/ablations for an example"]
    faults = [f"unknown key {key!r}; known are {', '.join(PARTS)}" for key in set(plan) - {*PARTS}]
    targets, variants = plan.get("targets"), plan.get("variants")
    if not isinstance(targets, list) or not targets:
        faults.append("targets: name at least one metric to compare, with its level")
    else:
        faults += [fault for number, item in enumerate(targets) for fault in _target(number, item)]
    if not isinstance(variants, Mapping) or len(variants) < least:
        baseline = "a baseline and at least one variant to compare with it"
        faults.append(f"variants: name {baseline if least > 1 else 'at least one'}")
        variants = {}
    sections = {"common": plan.get("common"), **{f"variants.{k}": v for k, v in variants.items()}}
    for name, settings in sections.items():
        if not isinstance(settings, Mapping | None):
            faults.append(f"{name}: {settings!r} is not a section with settings; {{}} has none")
        else:
            faults += [
                f"{name}.{key}: every run gets its own; leave it out"
                for key in GIVEN
                if key in (settings or {})
            ]
    return sorted(faults)


def read_targets(plan: Mapping) -> list[Target]:
    """The targets of a plan without faults."""
    return [Target(**target) for target in plan["targets"]]


def variant_configs(study: Mapping, plan: Mapping, seeds: Sequence[int]) -> dict[Run, dict]:
    """The whole config of every run, seed by seed, the baseline first.

    study: a whole config; plan: without faults. Raises ValueError as `resolve` does.
    """
    changes = {
        variant: merge(resolve(plan.get("common") or {}, study), resolve(settings or {}, study))
        for variant, settings in plan["variants"].items()
    }
    return {
        (str(variant), seed): merge(study, own)
        | {"study": f"{study['study']}-{variant}-seed{seed}", "seed": seed}
        for seed in seeds
        for variant, own in changes.items()
    }


def config_faults(configs: Mapping[Run, dict], schema: dict) -> list[str]:
    """What is wrong with the configs of `variant_configs`, with the variant that it is wrong in.

    A variant whose settings are those of another is a fault: it would differ by nothing.
    """
    faults: dict[str, list[str]] = {}
    alike: dict[str, str] = {}
    for (variant, seed), config in configs.items():
        for fault in schema_faults(config, schema) or check_config(config):
            own = faults.setdefault(fault, [])
            own += [variant] * (variant not in own)
        settings = repr((seed, {key: value for key, value in config.items() if key not in GIVEN}))
        if (first := alike.setdefault(settings, variant)) != variant:
            same = f"has the settings of {first} in this study; use --leave-out with one of them"
            faults.setdefault(same, []).append(variant)
    return [f"{', '.join(dict.fromkeys(of))}: {fault}" for fault, of in faults.items()]


def _target(number: int, target: object) -> Iterator[str]:
    known = list(Target.__dataclass_fields__)
    if not isinstance(target, Mapping) or not {"level", "metric"} <= set(target) <= {*known}:
        yield f"targets.{number}: {target!r} needs level and metric, may have method, and no more"
    elif not all(isinstance(value, str) for value in target.values()):
        yield f"targets.{number}: level, metric and method are text"
