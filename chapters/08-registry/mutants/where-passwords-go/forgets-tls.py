def may_send_credentials(registry_url, realm_url):
    ours, theirs = urlsplit(registry_url).hostname, urlsplit(realm_url).hostname
    parent = ours.partition(".")[2]
    is_name = "." in parent and not ours.replace(".", "").isdigit()
    return ours == theirs or (is_name and (theirs == parent or theirs.endswith(f".{parent}")))
