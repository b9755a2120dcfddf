"""Scenarios that run inside the guest; each module has `run(ctx: Context) -> None`."""
