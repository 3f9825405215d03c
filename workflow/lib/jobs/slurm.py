"""Whether a cluster with Slurm will take the jobs of a profile, before any is handed in."""

import getpass
import importlib.util
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import yaml

from workflow.lib.jobs.machine import INSTALL, Finding

PLUGIN = "snakemake_executor_plugin_slurm"
# Snakemake hangs where it finds no sacct, though it is told to ask squeue.
CLIENTS = ("sbatch", "squeue", "sinfo", "sacct")
ANSWER_S = 10  # a controller that does not answer by then is not reached
NODES = "%P|%a|%l|%m|%G"  # partition, * where it is the default; up; time; MB and GRES of a node
# What is written in any other way is not compared with what the cluster has.
AMOUNT = re.compile(r"(?:min\()?\s*(\d+)\s*(\*\s*attempt)?\s*(?:,\s*(\d+)\s*\))?")


class Partition(NamedTuple):
    """What jobs can have of it at most.

    state     up, or down, drain, inact
    minutes   of a job; mb: of its largest node; gpus: whether a node has any
    """

    state: str
    minutes: float
    mb: int
    gpus: bool


class Fault(Exception):
    """What is wrong with a profile or its cluster, and what to type."""


def check_slurm(profile: Path, *, sure: bool = False) -> Finding:
    """Whether the cluster of a profile answers, and can serve every attempt at any rule.

    sure: leave out what may yet go well: rules that a study does not use, later attempts, a
    partition or a controller that comes back, and how jobs are asked for.
    """
    file = f"{profile}/config.yaml"
    try:
        settings = yaml.safe_load(Path(file).read_text())
        default = settings.get("default-resources", {})
        own = {} if sure else settings.get("set-resources", {})
        demands = {"default-resources": default} | {rule: default | own[rule] for rule in own}
        attempts = 1 if sure else 1 + int(settings.get("retries", 0))
    except (OSError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        return Finding("slurm", f"{profile} is not usable ({error})", f"repair {profile}")
    try:
        check_programs(settings, file, sure=sure)
        partitions = read_partitions(ask("sinfo", "--noheader", "--exact", "--format", NODES))
        used = [
            check_demand(rule, demand, attempt, partitions, file, sure=sure)
            for rule, demand in demands.items()
            for attempt in range(1, attempts + 1)
        ]
        check_accounts(
            {str(d["slurm_account"]) for d in demands.values() if "slurm_account" in d}, file
        )
    except Fault as fault:
        return Finding("slurm", *fault.args)
    except (subprocess.SubprocessError, OSError) as error:
        return Finding("slurm", f"sinfo does not answer ({error})", None if sure else "sinfo")
    return Finding("slurm", f"partition {', '.join(dict.fromkeys(used))}")


def check_programs(settings: dict, file: str, *, sure: bool) -> None:
    """Whether this host has what jobs are handed in with and asked for."""
    if not importlib.util.find_spec(PLUGIN):
        raise Fault(f"Snakemake's plugin for Slurm is not installed ({PLUGIN})", INSTALL)
    if absent := [name for name in CLIENTS if not shutil.which(name)]:
        raise Fault(f"there is no {absent[0]} here", "log in where jobs are submitted")
    status = settings.get("slurm-status-command") or "sacct"
    if status != "squeue" and not sure:
        raise Fault(
            f"{file} asks {status} for jobs, which can wait for ever",
            f"slurm-status-command: squeue in {file}",
        )


def ask(*command: str) -> str:
    """What a client of Slurm answers; raises SubprocessError or OSError where it does not."""
    return subprocess.run(  # noqa: S603 - nothing of a sheet or config
        command, capture_output=True, text=True, timeout=ANSWER_S, check=True
    ).stdout


def read_partitions(sinfo: str) -> dict[str, Partition]:
    """The partitions by name, also as "" the one that takes jobs which name none, if there is."""
    found: dict[str, Partition] = {}
    for line in sinfo.splitlines():
        name, state, limit, mb, gres = line.split("|")
        node = Partition(state, minutes(limit), int(mb.rstrip("+")), "gpu" in gres)
        for key in (name.rstrip("*"), *([""] if name.endswith("*") else [])):
            other = found.get(key, node)
            found[key] = node._replace(mb=max(node.mb, other.mb), gpus=node.gpus or other.gpus)
    return found


def minutes(limit: str) -> float:
    """The minutes of D-HH:MM:SS, HH:MM:SS or MM:SS; infinite for any word."""
    if not re.fullmatch(r"[\d:-]+", limit):
        return math.inf
    days, _, time = limit.rpartition("-")
    seconds = 0
    for part in time.split(":"):
        seconds = 60 * seconds + int(part)
    return 1440 * int(days or 0) + seconds / 60


def check_demand(
    rule: str,
    demand: dict,
    attempt: int,
    partitions: dict[str, Partition],
    file: str,
    *,
    sure: bool,
) -> str:
    """The partition that an attempt at the jobs of a rule goes to; raises Fault where it cannot."""
    named = str(demand.get("slurm_partition", ""))
    for name in named.split(","):
        if name not in partitions:
            known = ", ".join(sorted(filter(None, partitions))) or "none"
            said = f"there is no partition {name}" if name else "there is no default partition"
            raise Fault(said, f"write one of {known} into {file}")
    chosen = [partitions[name] for name in named.split(",")]
    where = f"partition {named}" if named else "the default partition"
    if not sure and all(one.state != "up" for one in chosen):
        raise Fault(f"{where} is {chosen[0].state}", f"wait, or write another one into {file}")
    wants_gpu = str(demand.get("gpu", 0)) != "0" or "gpu" in str(demand.get("gres", ""))
    if wants_gpu and not any(one.gpus for one in chosen):
        able = ", ".join(sorted(name for name, one in partitions.items() if name and one.gpus))
        cure = f"slurm_partition: one of {able}, for {rule}" if able else f"no gpu for {rule}"
        raise Fault(f"{rule} asks for a GPU of {where}, which has none", f"{cure} in {file}")
    for key, unit, most in (
        ("runtime", "minutes", max(one.minutes for one in chosen)),
        ("mem_mb", "MB", max(one.mb for one in chosen)),
    ):
        amount = AMOUNT.fullmatch(str(demand.get(key, "")).strip())
        asked = amount_at(amount, attempt) if amount else 0
        if asked > most:
            grown = f"min({amount[1]} * attempt, {most:.0f})" if amount[2] else f"{most:.0f}"
            raise Fault(
                f"attempt {attempt} at {rule} asks for {asked} {unit}; {where} gives {most:.0f}",
                f"{key}: {grown} for {rule} in {file}",
            )
    return named or "by default"


def amount_at(amount: re.Match, attempt: int) -> int:
    """What an expression such as min(720 * attempt, 1440) comes to."""
    grown = int(amount[1]) * (attempt if amount[2] else 1)
    return min(grown, int(amount[3])) if amount[3] else grown


def check_accounts(named: set[str], file: str) -> None:
    """Whether Slurm knows the user's accounts, where it can be asked and asks for one itself."""
    user = getpass.getuser()
    try:
        told = ask("sacctmgr", "-n", "-P", "list", "associations", f"user={user}", "format=account")
        enforced = (
            "associations"
            in ask("scontrol", "show", "config")
            .partition("AccountingStorageEnforce")[2]
            .partition("\n")[0]
        )
    except (subprocess.SubprocessError, OSError):
        return  # there is no accounting, or it is not for users to ask
    known = sorted(set(told.lower().split()))
    if not known and enforced:
        said = f"Slurm takes no job without an account, and knows none of {user}"
        raise Fault(said, "ask those who run the cluster for one")
    for name in sorted(named):
        if known and name.lower() not in known:
            said = f"Slurm knows no account {name} of {user}"
            raise Fault(said, f"slurm_account: one of {', '.join(known)} in {file}")
