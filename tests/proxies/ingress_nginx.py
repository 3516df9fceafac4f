"""The nginx configuration that the controller ingress-nginx generates from an Ingress: the part for
external authentication, in the order of the controller's template. It is without the Lua that chooses
the backend."""

from urllib.parse import urlsplit

ANNOTATION = "nginx.ingress.kubernetes.io"


def server(ingress, config_map, listen, application, auth_headers=None):
    """The server block of an Ingress with one host and one path. `auth_headers` is the ConfigMap that
    its annotation auth-proxy-set-headers names. Returns text for nginx's `http`."""
    annotations = ingress["metadata"]["annotations"]
    [rule] = ingress["spec"]["rules"]
    [path] = rule["http"]["paths"]
    verify = annotations[f"{ANNOTATION}/auth-url"]
    names = annotations[f"{ANNOTATION}/auth-response-headers"].split(",")
    identity = "\n".join(
        f"auth_request_set $authHeader{i} $upstream_http_{name.strip().lower().replace('-', '_')};\n"
        f"proxy_set_header '{name.strip()}' $authHeader{i};" for i, name in enumerate(names))
    named = f"{ANNOTATION}/auth-proxy-set-headers" in annotations
    set_headers = "\n".join(f"proxy_set_header '{name}' '{value}';"
                            for name, value in (auth_headers["data"] if named else {}).items())
    return f"""
        map $http_upgrade $connection_upgrade {{
            default upgrade;
            '' '';
        }}
        server {{
            listen {listen} default_server;
            return 404;
        }}
        server {{
            server_name {rule["host"]};
            listen {listen};
            {config_map["data"]["server-snippet"]}
            location = /_external-auth {{
                internal;
                proxy_pass_request_body off;
                proxy_set_header Content-Length "";
                proxy_set_header X-Forwarded-Proto "";
                proxy_set_header X-Request-ID $request_id;
                proxy_set_header Host {urlsplit(verify).netloc};
                proxy_set_header X-Original-URL $scheme://$http_host$request_uri;
                proxy_set_header X-Original-Method $request_method;
                proxy_set_header X-Sent-From "nginx-ingress-controller";
                proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Auth-Request-Redirect $request_uri;
                proxy_buffering off;
                proxy_buffer_size 4k;
                proxy_buffers 4 4k;
                proxy_request_buffering on;
                proxy_http_version 1.1;
                proxy_pass_request_headers on;
                client_max_body_size 1m;
                {set_headers}
                set $target {verify};
                proxy_pass $target;
            }}
            location {path["path"]} {{
                auth_request /_external-auth;
                auth_request_set $auth_cookie $upstream_http_set_cookie;
                add_header Set-Cookie $auth_cookie;
                {identity}
                client_max_body_size 1m;
                proxy_set_header Host $http_host;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_set_header X-Request-ID $request_id;
                proxy_set_header X-Real-IP $remote_addr;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Forwarded-Host $http_host;
                proxy_set_header X-Forwarded-Port $server_port;
                proxy_set_header X-Forwarded-Proto $scheme;
                proxy_set_header X-Forwarded-Scheme $scheme;
                proxy_set_header X-Scheme $scheme;
                proxy_set_header X-Original-Forwarded-For $http_x_forwarded_for;
                proxy_set_header Proxy "";
                proxy_buffering off;
                proxy_http_version 1.1;
                proxy_pass http://{application};
                proxy_redirect off;
            }}
        }}
        """
