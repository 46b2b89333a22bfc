"""What begins the runs of schedules, for whoever keeps a runtime open."""

from assent.runtime.schedules._scheduler import Scheduler as Scheduler

__all__ = ["Scheduler"]
