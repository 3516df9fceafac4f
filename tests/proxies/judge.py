"""Decides whether a request that reached the application was allowed to, by the access rules of
docs/proxies.md. It looks only at what the application saw."""


def needed(method, path):
    """The abilities of which a token must have one to reach this path, given as segments. None if no
    token is needed, and an empty set if no token suffices."""
    match path[:1]:
        case ("public",):
            return None
        case ("admin",):
            return {"app:admin"}
        case ("posts",) if method in ("GET", "HEAD"):
            return {"posts:read", "posts:write"}
        case ("posts",):
            return {"posts:write"}
    return set()


def complaint(asked, abilities):
    """What is wrong with a request that reached the application, or None. `abilities` are those of the
    token that the client sent; None if it sent none."""
    if asked.faults:
        return f"unclear framing: {asked.faults}"
    if asked.header("authorization"):
        return "the application sees Authorization"
    seen = dict(asked.identity)
    if len(seen) != len(asked.identity):
        return f"repeated identity: {asked.identity}"
    needs = {path: needed(asked.method, path) for path in asked.readings}
    if all(need is None for need in needs.values()):
        return f"identity of a public request: {seen}" if seen else None
    if abilities is None:
        return f"no token was sent for {needs}"
    if seen.get("x-auth-abilities") != " ".join(abilities):
        return f"not the token's identity: {seen}"
    for path, need in needs.items():
        if need is not None and not need & set(abilities):
            return f"read as {'/'.join(path)}, it needs one of {need}"
    return None
