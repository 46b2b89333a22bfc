"""Knowledge of workspaces: what reads them, and where hostile texts are worked on."""
