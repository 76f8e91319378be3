def may_send_credentials(registry_url, realm_url):
    registry, realm = urlsplit(registry_url), urlsplit(realm_url)
    if registry.scheme == "https" and realm.scheme != "https":
        return False
    if registry.netloc == realm.netloc:
        return True
    parent = registry.netloc.partition(".")[2]
    is_name = "." in parent and not registry.netloc.replace(".", "").isdigit()
    return is_name and (realm.netloc == parent or realm.netloc.endswith(f".{parent}"))
