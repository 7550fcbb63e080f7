"""The Firetasks, by the names that specs use: each finds its database and hands over to its piece of work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fireworks import FWAction, LaunchPad
from fireworks.core.firework import FiretaskBase
from fireworks.utilities.fw_utilities import explicit_serialize

from mmtp_fw import log
from mmtp_fw.campaign import Campaign
from mmtp_fw.database import Database
from mmtp_fw.errors import InputError
from mmtp_fw.firetasks.base import Work, run_action
from mmtp_fw.firetasks.fit import FitWork
from mmtp_fw.firetasks.label import LabelWork
from mmtp_fw.firetasks.md import MdWork
from mmtp_fw.firetasks.pretrain import PretrainWork
from mmtp_fw.firetasks.properties import PropertyWork
from mmtp_fw.firetasks.report import ReportWork
from mmtp_fw.firetasks.select import SelectWork
from mmtp_fw.workflows.mend import mend
from mmtp_fw.workflows.submit import submit_campaign

# A worker runs thousands of tasks: one connection serves them all.
_DATABASES: dict[LaunchPad | None, Database] = {}


class _Task(FiretaskBase):
    """Base: opens the database that the Firework came from (``_add_launchpad_and_fw_id`` in its spec)."""

    def database(self) -> Database:
        """Return the database of the worker's LaunchPad, or FireWorks' own default; every task begins here."""
        log.ensure()  # rlaunch knows nothing of our logs
        launchpad = getattr(self, "launchpad", None)
        if launchpad not in _DATABASES:
            opened = Database.open() if launchpad is None else Database.from_launchpad(launchpad)
            _DATABASES[launchpad] = opened
        return _DATABASES[launchpad]


class _ActionTask(_Task):
    """Carries out the planned action whose key is ``action`` in the spec."""

    work: ClassVar[Work]

    def run_task(self, fw_spec: Mapping[str, Any]) -> FWAction:
        """Run the action; see `mmtp_fw.firetasks.base.run_action`."""
        key = fw_spec.get("action")
        if not key:
            raise InputError("the Firework's spec has no 'action'", "give the key of a planned action")
        return FWAction(stored_data={"ended": run_action(self.database(), key, self.work)})


@explicit_serialize
class PretrainTask(_ActionTask):
    """Generates the pretraining configurations."""

    work = PretrainWork()


@explicit_serialize
class LabelTask(_ActionTask):
    """Labels one configuration by the staged protocol."""

    work = LabelWork()


@explicit_serialize
class FitTask(_ActionTask):
    """Fits a potential to all accepted labels, and stores its active set with it."""

    work = FitWork()


@explicit_serialize
class MdTask(_ActionTask):
    """Runs one exploring trajectory."""

    work = MdWork()


@explicit_serialize
class SelectTask(_ActionTask):
    """Selects from the candidates of all trajectories of a round."""

    work = SelectWork()


@explicit_serialize
class PropertyTask(_ActionTask):
    """Averages at one lattice parameter, from the potential or from the engine itself."""

    work = PropertyWork()


@explicit_serialize
class ReportTask(_ActionTask):
    """Sums a campaign up."""

    work = ReportWork()


@explicit_serialize
class AdvanceTask(_Task):
    """Mends a campaign and plans what is due; ``campaign`` in the spec."""

    def run_task(self, fw_spec: Mapping[str, Any]) -> FWAction:
        """Call the planner."""
        position = mend(self.database(), fw_spec["campaign"])[1]
        return FWAction(stored_data={"iteration": position.iteration, "phase": position.phase.value})


@explicit_serialize
class SubmitCampaignTask(_Task):
    """Stores the campaign whose ``settings`` the task holds, and plans its first actions."""

    required_params: ClassVar[list[str]] = ["settings"]

    def run_task(self, fw_spec: Mapping[str, Any]) -> FWAction:
        """Submit the campaign."""
        campaign = Campaign.model_validate(self["settings"])
        submit_campaign(self.database(), campaign)
        return FWAction(stored_data={"campaign": campaign.name})
