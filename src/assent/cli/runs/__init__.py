"""Commands about runs: plan, drive, look back, intervene, replay; and their words on the screen."""
