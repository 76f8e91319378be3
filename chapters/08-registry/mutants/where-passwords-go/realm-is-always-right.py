def may_send_credentials(registry_url, realm_url):
    return not (registry_url.startswith("https:") and realm_url.startswith("http:"))
