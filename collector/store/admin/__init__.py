"""The commands of `collector db` on a whole store: create, migrate, dump, copy, back up, restore, verify."""
