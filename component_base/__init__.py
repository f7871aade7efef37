"""What every Peapod daemon is as a process: flags, logging, signals, health, metrics, serving."""
