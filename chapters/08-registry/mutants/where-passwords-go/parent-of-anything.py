def may_send_credentials(registry_url, realm_url):
    registry, realm = urlsplit(registry_url), urlsplit(realm_url)
    if registry.scheme == "https" and realm.scheme != "https":
        return False
    ours, theirs = registry.hostname, realm.hostname
    parent = ours.partition(".")[2]
    return ours == theirs or theirs == parent or theirs.endswith(f".{parent}")
