"""Addresses that lead, or try to lead, where nothing may be fetched from."""

LITERALS = (
    *("127.0.0.1", "127.1", "127.255.255.254", "0", "0.0.0.0", "2130706433", "0x7f000001"),
    *("0x7f.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "10.0.0.1", "10.255.255.255"),
    *("172.16.0.1", "172.31.255.255", "192.168.0.1", "169.254.169.254", "169.254.170.2"),
    *("100.64.0.1", "100.100.100.200", "192.0.0.8", "192.0.0.192", "192.0.2.1", "198.18.0.1"),
    *("198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("8.8.8.8", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    *("[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]"),
    *("[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001::7f00:1]"),
    *("[fec0::1]", "[fe80::1]", "[fe80::1%25eth0]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]"),
    *("[2001:db8::1]", "[100::1]", "[3fff::1]", "[2606:4700:4700::1111]", "[0:0:0:0:0:0:0:1]"),
)
NAMES = (
    *("localhost", "localhost.", "ip6-localhost", "metadata.google.internal", "broker", "postgres"),
    *("evil.example", "evilreplicate.delivery", "replicate.delivery.evil.example", "delivery"),
    *("replicate.delivery.", "replicate-delivery.example", "replicate.deliver", "replicate"),
    *(".replicate.delivery", "a..replicate.delivery", "-a.replicate.delivery", "127.0.0.1.nip.io"),
    *("a_b.replicate.delivery", "xn--rplicate-b1a.delivery", "replicate.delivery%00.evil.example"),
    *("replicate.delivery%2eevil.example", "replicate%2edelivery", "[replicate.delivery]"),
    *("replicate。delivery", "ｒeplicate.delivery", "ⓡeplicate.delivery", "replіcate.delivery"),
    *("replicate.delivery\u200b", "replicate.delivery\u00ad", "Replicate.Delivery.evil.example"),
)
TRICKS = (
    *("", " ", "x", "/etc/passwd", "//replicate.delivery/a", "replicate.delivery/a", "https://"),
    *("https:", "https:/replicate.delivery/a", "https:replicate.delivery/a", "https:///a"),
    *("https://?@replicate.delivery/", "https://#replicate.delivery/", "https://:443/a"),
    *("https://replicate.delivery:80/a", "https://replicate.delivery:8443/a"),
    *("https://replicate.delivery:0/a", "https://replicate.delivery:65536/a"),
    *("https://replicate.delivery:-443/a", "https://replicate.delivery:443:80/a"),
    *("https://replicate.delivery:4４3/a", "https://replicate.delivery:a/a"),
    *("https://user@replicate.delivery/a", "https://user:pass@replicate.delivery/a"),
    *("https://@replicate.delivery/a", "https://:@replicate.delivery/a"),
    *("https://replicate.delivery@evil.example/a", "https://replicate.delivery:443@127.0.0.1/a"),
    *("https://evil.example\\@replicate.delivery/a", "https://replicate.delivery\\@evil.example/"),
    *("https://evil.example#@replicate.delivery/a", "https://evil.example?@replicate.delivery/a"),
    *("https://evil.example/@replicate.delivery/a", "https://replicate.delivery%40evil.example/a"),
    *("https://evil.example%23@replicate.delivery/a", "https://evil.example&@replicate.delivery/"),
    *("https://replicate.delivery /a", "https:// replicate.delivery/a", "\thttps://a.example/"),
    *("https://replicate.delivery/a\r\nHost: evil.example", "https://replicate.delivery/a\x00b"),
    *("https://replicate.delivery/\t", "https://repli\ncate.delivery/a", "https://[::1/a"),
    *("https://replicate.delivery/<script>", "https://replicate.delivery/" + "a" * 9000),
    *(
        "http://replicate.delivery/a",
        "http://replicate.delivery:443/a",
        "HTTP://replicate.delivery",
    ),
    *("ftp://replicate.delivery/a", "file:///etc/passwd", "file://replicate.delivery/a"),
    *("gopher://replicate.delivery/a", "ws://replicate.delivery/a", "wss://replicate.delivery/a"),
    *("dict://replicate.delivery/a", "javascript:alert(1)", "blob:https://replicate.delivery/a"),
    *("jar:https://replicate.delivery/a!/b", "unix:///var/run/docker.sock", "s3://darkroom/a"),
    *("http+unix://%2Fvar%2Frun/a", "about:blank", "view-source:https://replicate.delivery/a"),
)


def forbidden_urls(port: int) -> list[str]:
    """All of them; those that can name a port name ``port`` too, where a canary may listen."""
    hosts = (*LITERALS, *NAMES)
    return [
        *(f"https://{host}/outputs/a.png" for host in hosts),
        *(f"https://{host}:{port}/outputs/a.png" for host in hosts),
        *(f"http://{host}:{port}/outputs/a.png" for host in hosts),
        *TRICKS,
    ]


# What a name that we trust may resolve to on a bad day.
ADDRESSES = (
    *("127.0.0.1", "127.8.8.8", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255"),
    *("192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.0.8"),
    *("192.0.0.9", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255"),
    *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
    *("255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8"),
    *("::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "100::1"),
    *("2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:20::1", "2001:db8::1", "2002::1"),
    *("2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1"),
    *("fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "feff::1", "ff02::1", "ff0e::1"),
    *("4000::1", "not an address", "", "127.1", "0x7f000001"),
)
