"""Who tells people: one adapter a file, each a `Notifier` of `ports`. None imports a sibling or the store."""
