//! What the API makes of requests that are broken or meant to harm: each gets its status and
//! costs bounded memory.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TOKEN, World};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const M: &str = "/v1/apps/shop/machines";

/// Sends bytes as they are; gives the status and the whole answer.
async fn raw(world: &World, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(world.api.api).await.expect("connected");
    // The server may answer and close before it has read everything.
    drop(stream.write_all(request).await);
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or(0), answer)
}

fn get(path: &str) -> Vec<u8> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n"
    );
    head.into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_answered_400_and_large_ones_413() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let made = json!({"config": world.config(&[]), "skip_launch": true});
    let made = world.api.done(Method::POST, M, made).await;
    let machine = format!("{M}/{}", made["id"].as_str().expect("an id"));
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let send = |method: Method, path: String, body: Vec<u8>| {
        let url = format!("http://{}{path}", world.api.api);
        let request = client.request(method, url).bearer_auth(TOKEN).body(body);
        async move {
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            (status, answer.json::<Value>().await.unwrap_or_default())
        }
    };
    let routes = [
        (Method::POST, "/v1/apps".to_owned()),
        (Method::POST, M.to_owned()),
        (Method::POST, machine.clone()),
        (Method::POST, format!("{machine}/stop")),
        (Method::POST, format!("{machine}/lease")),
        (Method::POST, format!("{machine}/signal")),
        (Method::POST, format!("{machine}/exec")),
        (Method::POST, format!("{machine}/metadata/key")),
        (Method::PUT, format!("{machine}/metadata")),
        (Method::POST, "/v1/apps/shop/secrets".to_owned()),
        (Method::POST, "/v1/apps/shop/volumes".to_owned()),
        (Method::POST, "/v1/apps/shop/ip_assignments".to_owned()),
        (Method::POST, "/v1/apps/shop/deploy_token".to_owned()),
    ];
    let deep = "[".repeat(100_000).into_bytes();
    for (method, path) in routes {
        for body in [b"{".to_vec(), b"[1]".to_vec(), b"\"\xff\"".to_vec(), deep.clone()] {
            let start = String::from_utf8_lossy(&body[..body.len().min(8)]).into_owned();
            let (status, answer) = send(method.clone(), path.clone(), body).await;
            assert_eq!(status, 400, "{method} {path} {start}: {answer}");
            assert!(answer["error"].is_string(), "{method} {path}: {answer}");
        }
        // One byte more than is read: of a longer body the rest would be in the way of the answer.
        let (status, answer) = send(method.clone(), path.clone(), vec![b' '; (1 << 20) + 1]).await;
        assert_eq!(status, 413, "{method} {path}");
        assert!(answer["error"].is_string(), "{method} {path}: {answer}");
    }
    let wrong = [
        (M.to_owned(), json!({"config": {"image": 7}})),
        (M.to_owned(), json!({"config": {"image": "x", "guest": {"cpus": -1}}})),
        (M.to_owned(), json!({"config": {"image": "x", "services": [{"autostop": "maybe"}]}})),
        (M.to_owned(), json!({"config": {"image": "x", "stop_config": {"timeout": "soon"}}})),
        (M.to_owned(), json!({"name": "../../etc", "config": world.config(&[])})),
        (format!("{machine}/stop"), json!({"signal": "SIGNOTHING"})),
        (format!("{machine}/stop"), json!({"timeout": "-1s"})),
        (format!("{machine}/lease?ttl=-1"), Value::Null),
        (format!("{machine}/lease?ttl=long"), Value::Null),
        (format!("{machine}/signal"), json!({"signal": []})),
        (format!("{machine}/restart?timeout=x"), Value::Null),
    ];
    for (path, body) in wrong {
        let (status, answer) = world.api.call(Method::POST, &path, body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}: {answer}");
    }
    for query in ["state=flying", "timeout=soon", "from_event_id=x"] {
        let path = format!("{machine}/wait?{query}");
        let (status, answer) = world.api.call(Method::GET, &path, Value::Null).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}: {answer}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_lead_elsewhere_lead_nowhere() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    for path in [
        "/v1/apps/..%2f..%2fetc%2fpasswd",
        "/v1/apps/%2e%2e/machines",
        "/v1/apps/shop/machines/..%2f..%2fplatform.sqlite",
        "/v1/apps/shop/volumes/..%2f..%2fplatform.sqlite",
        "/v1/apps/shop/machines/%00",
        "/v1/apps/SHOP",
    ] {
        let (status, answer) = raw(&world, &get(path)).await;
        assert_eq!(status, 404, "{path}: {answer}");
        assert!(answer.contains("not found"), "{path}: {answer}");
    }
    // Unknown routes are answered in plain text, as Fly does.
    for path in
        ["/", "/v2x", "/v1", "/v1/apps/", "/v1//apps", "/v1/apps/shop/../shop", "/v1/nothing"]
    {
        let (status, answer) = raw(&world, &get(path)).await;
        assert_eq!(status, 404, "{path}: {answer}");
        assert!(answer.ends_with("404 page not found\n"), "{path}: {answer}");
    }
    for path in ["/v1/apps/%ff", "/v1/apps/shop/machines/%ff%fe/wait"] {
        let (status, answer) = raw(&world, &get(path)).await;
        assert_eq!(status, 400, "{path}: {answer}");
        assert!(answer.contains("\"error\""), "{path}: {answer}");
    }
    for name in ["..", "a/b", "a b", "", "-\u{0}", "ünïcode", &"a".repeat(64)] {
        let (status, answer) =
            world.api.call(Method::POST, "/v1/apps", json!({"name": name})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {answer}");
    }
    let (status, _) = world.api.call(Method::PATCH, "/v1/apps/shop", Value::Null).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_broken_or_too_large_are_refused() {
    let world = World::new().await;
    let with = |line: &[u8]| {
        let mut request =
            b"GET /v1/apps HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n".to_vec();
        request.extend(line);
        request.extend(b"\r\n\r\n");
        request
    };
    let mut large = b"x-large: ".to_vec();
    large.extend(vec![b'x'; 1 << 20]);
    let many: Vec<u8> = (0..5000).flat_map(|n| format!("x-{n}: 1\r\n").into_bytes()).collect();
    for (line, statuses) in [
        (b"no colon".to_vec(), vec![400]),
        (b"x: \0".to_vec(), vec![400]),
        (b"content-length: -1".to_vec(), vec![400]),
        (b"content-length: 1\r\ncontent-length: 2".to_vec(), vec![400]),
        // The server may hang up before its answer is read.
        (large, vec![431, 0]),
        (many, vec![431, 0]),
        (b"authorization: \xff\xfe".to_vec(), vec![401]),
        (b"authorization: Bearer".to_vec(), vec![401]),
        (b"authorization: Bearer ".to_vec(), vec![401]),
    ] {
        let (status, answer) = raw(&world, &with(&line)).await;
        let start: String = String::from_utf8_lossy(&line).chars().take(40).collect();
        assert!(statuses.contains(&status), "{start}: {answer}");
    }
    let (status, _) = raw(&world, b"\x16\x03\x01 this is no HTTP\r\n\r\n").await;
    assert!(matches!(status, 400 | 0));
    world.api.create_app("still-well").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_slowly_on_purpose_are_hung_up_on_and_others_are_served() {
    let world = World::with(|settings| settings.api_pause_max_ms = 300).await;
    let mut slow = Vec::new();
    for start in [
        "",
        "G",
        "GET /v1/apps HTTP/1.1\r\nhost: x\r\nx-",
        "POST /v1/apps HTTP/1.1\r\nhost: x\r\nauthorization: Bearer test-token\r\ncontent-length: 100\r\n\r\n{",
    ] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(world.api.api).await.expect("connected");
            stream.write_all(start.as_bytes()).await.expect("sent");
            slow.push(stream);
        }
    }
    world.api.create_app("served").await;
    for mut stream in slow {
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection is closed");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_secrets_have_limits() {
    let world = World::new().await;
    world.api.create_app("shop").await;
    let made = json!({"config": world.config(&[]), "skip_launch": true});
    let made = world.api.done(Method::POST, M, made).await;
    let metadata = format!("{M}/{}/metadata", made["id"].as_str().expect("an id"));
    let many: serde_json::Map<_, _> =
        (0..300).map(|number| (format!("k{number}"), json!("v"))).collect();
    let large = json!({"metadata": {"k": "x".repeat(300 << 10)}});
    for body in [json!({"metadata": many}), large] {
        let (status, _) = world.api.call(Method::PUT, &metadata, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let stale = json!({"metadata": {"k": "v"}, "machine_version": "01J00000000000000000000000"});
    let (status, _) = world.api.call(Method::PATCH, &metadata, stale).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let left = world.api.done(Method::GET, &metadata, Value::Null).await;
    assert_eq!(left, json!({}), "nothing of it was done");
    for name in ["1A", "A B", "Ä", ""] {
        let values = json!({"values": {name: "v"}});
        let (status, _) = world.api.call(Method::POST, "/v1/apps/shop/secrets", values).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_far_too_much_before_it_reads_learns_that_it_was_too_much() {
    let world = World::new().await;
    let bytes = 50 << 20;
    let head = format!(
        "POST /v1/apps HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
         content-length: {bytes}\r\n\r\n"
    );
    let unknown = head.replace(TOKEN, "nobody");
    for (head, status) in [(head, "413"), (unknown, "401")] {
        let mut stream = TcpStream::connect(world.api.api).await.expect("connected");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&vec![b'x'; bytes]).await.expect("all of it is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer and an orderly end");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    // A client that goes on and on is cut, however much it has.
    let url = format!("http://{}/v1/apps", world.api.api);
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1 << 16]));
    let body = reqwest::Body::wrap_stream(endless);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.post(url).bearer_auth(TOKEN).body(body).send().await;
    assert_eq!(answer.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
    world.end().await;
}
