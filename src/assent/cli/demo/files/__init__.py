"""What the demo puts into its folder, as it stands here: a policy, a workflow, and two small scripts."""
