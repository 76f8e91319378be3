def may_send_credentials(registry_url, realm_url):
    registry, realm = urlsplit(registry_url), urlsplit(realm_url)
    if registry.scheme == "https" and realm.scheme != "https":
        return False
    ours, theirs = registry.hostname, realm.hostname
    parent = ours.partition(".")[2]
    is_name = "." in parent and not ours.replace(".", "").isdigit()
    return ours == theirs or (is_name and theirs.endswith(parent))
