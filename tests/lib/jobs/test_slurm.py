"""A cluster that is asked before jobs are handed in: what sinfo and sacctmgr answer is in files."""

import math
import re

import pytest
import yaml
from snakemake.profiles import ProfileConfigFileParser

from workflow.lib.jobs import slurm
from workflow.lib.jobs.recipe import ROOT

# As sinfo --exact --format %P|%a|%l|%m|%G prints them: a line for each kind of node in a partition.
SINFO = """\
cpu*|up|1-00:00:00|64000|(null)
cpu*|up|1-00:00:00|256000|(null)
gpu|up|2:30:00|128000|gpu:a100:4(S:0-1)
gpu|up|2:30:00|96000|(null)
long|down|infinite|64000+|(null)
"""
CONFIG = "ClusterName=c\nAccountingStorageEnforce = {}\nAccountingStorageType = x\n"


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A profile, and clients of Slurm that answer what is in files; `absent` ones are not there."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("LOGNAME", "ann")

    def make(sinfo=SINFO, accounts=None, enforced="none", absent=(), **others):
        settings = {"executor": "slurm", "slurm-status-command": "squeue"} | others
        settings.setdefault("default-resources", {"slurm_partition": "cpu"})
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
        answers = {"sinfo": sinfo, "scontrol": CONFIG.format(enforced), "sacctmgr": accounts}
        for name in (*slurm.CLIENTS, "scontrol", "sacctmgr"):
            (tmp_path / name).unlink(missing_ok=True)
            if name not in absent:
                said = tmp_path / f"{name}.said"
                said.write_text(answers.get(name) or "")
                fails = name == "sacctmgr" and accounts is None
                (tmp_path / name).write_text(f"#!/bin/sh\ncat {said}\nexit {int(fails)}\n")
                (tmp_path / name).chmod(0o755)
        return tmp_path

    return make


def asked(cluster, rule=None, **resources):
    """What is found of a profile where a rule, or every rule, asks for this."""
    if rule:
        return slurm.check_slurm(cluster(**{"set-resources": {rule: resources}}))
    return slurm.check_slurm(cluster(**{"default-resources": resources}))


def test_a_cluster_that_serves_the_profile(cluster):
    rules = {"train_unet": {"slurm_partition": "gpu", "gpu": 1, "runtime": 150, "mem_mb": 128000}}
    finding = slurm.check_slurm(cluster(**{"set-resources": rules}))
    assert finding == ("slurm", "partition cpu, gpu", None)


def test_partitions_that_are_not_there_or_down_are_named(cluster):
    finding = asked(cluster, slurm_partition="day")
    assert finding.said == "there is no partition day"
    assert finding.remedy.startswith("write one of cpu, gpu, long into ")
    assert asked(cluster, "train_unet", slurm_partition="cpu,gpus").said == (
        "there is no partition gpus"
    )
    finding = asked(cluster, "train_unet", slurm_partition="long")
    assert finding.said == "partition long is down"
    assert finding.remedy.startswith("wait, or write another one into ")
    assert asked(cluster, "train_unet", slurm_partition="long,cpu").remedy is None


def test_the_default_partition_need_not_be_named(cluster):
    assert asked(cluster, mem_mb=256000) == ("slurm", "partition by default", None)
    assert "the default partition gives 256000" in asked(cluster, mem_mb=256001).said
    finding = slurm.check_slurm(
        cluster(SINFO.replace("*", ""), **{"default-resources": {"mem_mb": 2000}})
    )
    assert finding.said == "there is no default partition"
    assert finding.remedy.startswith("write one of cpu, gpu, long into ")


@pytest.mark.parametrize(
    ("resources", "said", "remedy"),
    [
        ({"runtime": 1440}, None, None),
        ({"runtime": 1441}, "attempt 1 at train_unet asks for 1441 minutes; partition cpu gives"
         " 1440", "runtime: 1440 for train_unet"),
        ({"runtime": "720 * attempt"}, "attempt 3 at train_unet asks for 2160 minutes; partition"
         " cpu gives 1440", "runtime: min(720 * attempt, 1440) for train_unet"),
        ({"runtime": "min(720 * attempt, 1440)"}, None, None),
        ({"runtime": "60 * attempt", "slurm_partition": "gpu"}, "attempt 3 at train_unet asks for"
         " 180 minutes; partition gpu gives 150", "runtime: min(60 * attempt, 150) for"),
        ({"mem_mb": "128000 * attempt"}, "attempt 3 at train_unet asks for 384000 MB; partition cpu"
         " gives 256000", "mem_mb: min(128000 * attempt, 256000) for train_unet"),
        ({"mem_mb": 256001}, "attempt 1 at train_unet asks for 256001 MB; partition cpu gives"
         " 256000", "mem_mb: 256000 for train_unet"),
        ({"runtime": "2 ** attempt * input.size"}, None, None),  # cannot be told
        ({"gpu": 1}, "train_unet asks for a GPU of partition cpu, which has none",
         "slurm_partition: one of gpu, for train_unet"),
        ({"gres": "gpu:1"}, "train_unet asks for a GPU of partition cpu, which has none",
         "slurm_partition: one of gpu, for train_unet"),
        ({"gpu": 0}, None, None),
        ({"gpu": 1, "slurm_partition": "gpu"}, None, None),
    ],
)  # fmt: skip
def test_a_demand_that_no_node_can_meet_is_named(cluster, resources, said, remedy):
    finding = slurm.check_slurm(
        cluster(**{"retries": 2, "set-resources": {"train_unet": resources}})
    )
    if said is None:
        assert finding.remedy is None
    else:
        assert finding.said == said and finding.remedy.startswith(remedy)


def set_resources(profile):
    """What Snakemake reads there."""
    with (profile / "config.yaml").open() as file:
        return ProfileConfigFileParser().parse(file)["set-resources"]


def test_the_block_of_gpu_lines_is_ready_to_be_uncommented(tmp_path):
    text = (ROOT / "workflow/profiles/slurm/config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(
        re.sub(r"^  # (?=\w+: {gpu)", "  ", text, flags=re.MULTILINE)
    )
    before, after = map(set_resources, (ROOT / "workflow/profiles/slurm", tmp_path))
    rules = {line.partition(":")[0] for line in after}
    for rule in rules:
        assert {f"{rule}:gpu=1", f"{rule}:slurm_partition=gpu"} <= set(after)
    assert rules >= {line.partition(":")[0] for line in before}
    assert {"extract_features", "make_cams", "refine_masks"} < rules
    assert all((ROOT / f"workflow/scripts/{rule}.py").is_file() for rule in rules)
    assert set(after) >= set(before)  # times stay as they were


def test_a_gpu_where_no_partition_has_any(cluster):
    rules = {"set-resources": {"make_cams": {"gpu": 1}}}
    finding = slurm.check_slurm(cluster(SINFO.replace("gpu:a100", "fpga"), **rules))
    assert finding.remedy.startswith("no gpu for make_cams in ")


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("30:00", 30),
        ("1:30:00", 90),
        ("2-00:00:30", 2880.5),
        ("infinite", math.inf),
        ("n/a", math.inf),
    ],
)
def test_limits_are_read_as_sinfo_writes_them(limit, minutes):
    assert slurm.minutes(limit) == minutes


def test_accounts_are_looked_at_where_they_can_be_asked_for(cluster):
    lab = {"default-resources": {"slurm_partition": "cpu", "slurm_account": "lab"}}
    for accounts, enforced in (("lab\nother\n", "none"), ("Lab\n", "associations"), ("", "none")):
        assert (
            slurm.check_slurm(cluster(accounts=accounts, enforced=enforced, **lab)).remedy is None
        )
    assert slurm.check_slurm(cluster(**lab)).remedy is None  # sacctmgr fails: nobody can tell
    finding = slurm.check_slurm(cluster(accounts="mine\nother\n", **lab))
    assert finding.said == "Slurm knows no account lab of ann"
    assert finding.remedy.startswith("slurm_account: one of mine, other in ")
    finding = slurm.check_slurm(cluster(accounts="", enforced="associations,limits"))
    assert finding.said == "Slurm takes no job without an account, and knows none of ann"
    assert finding.remedy


def test_the_plugin_the_clients_and_the_status_command_are_looked_at(cluster, monkeypatch):
    for status in ("sacct", None):
        finding = slurm.check_slurm(cluster(**{"slurm-status-command": status}))
        assert "asks sacct for jobs" in finding.said and "squeue" in finding.remedy
    monkeypatch.setenv("PATH", "/nowhere")
    assert slurm.check_slurm(cluster()).said == "there is no sbatch here"
    monkeypatch.setattr(slurm, "PLUGIN", "no_such_plugin")
    finding = slurm.check_slurm(cluster())
    assert "plugin for Slurm is not installed" in finding.said and finding.remedy == slurm.INSTALL


def test_slurm_that_is_silent_and_a_profile_that_is_none(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "ANSWER_S", 0.2)
    profile = cluster()
    for script in ("exit 3", "exec sleep 5"):
        (profile / "sinfo").write_text(f"#!/bin/sh\n{script}\n")
        finding = slurm.check_slurm(profile)
        assert "does not answer" in finding.said and finding.remedy == "sinfo"
        assert slurm.check_slurm(profile, sure=True).remedy is None
    (tmp_path / "config.yaml").write_text("- 3")
    assert "is not usable" in slurm.check_slurm(tmp_path).said


@pytest.mark.parametrize(
    ("others", "refused"),
    [
        ({"default-resources": {"slurm_partition": "day"}}, True),
        ({"default-resources": {"slurm_partition": "cpu", "runtime": 1441}}, True),
        ({"default-resources": {"runtime": "720 * attempt"}, "retries": 2}, False),
        ({"default-resources": {"slurm_partition": "long"}}, False),  # may come up again
        ({"set-resources": {"train_unet": {"gpu": 1}}}, False),  # of which there may be no job
        ({"slurm-status-command": "sacct"}, False),
        ({"absent": ("sbatch",)}, True),
    ],
)
def test_only_what_is_sure_to_fail_keeps_a_run_from_beginning(cluster, others, refused):
    profile = cluster(**others)
    assert (slurm.check_slurm(profile, sure=True).remedy is not None) == refused
    assert slurm.check_slurm(profile).remedy is not None
