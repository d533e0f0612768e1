"""A multirun: plan, launch, status of jobs, comparison."""
