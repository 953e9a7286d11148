"""What runs underneath: storage (local or object store), locks, Ray sessions, messages between driver and workers.

May import the modules at the top of `pipelines` alone. Public names, imported from their modules because Ray is slow to
import: `Location`, `FoundFile` (`storage`), `lock_directory` (`locks`), `ray_session` (`ray_sessions`), `open_channel`,
`Channel` (`messages`).
"""
