//! iroh-docs as a peer: an entry for each document, its JSON as the content, on disk, over QUIC.
#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use ditto_rivals::Failure;
use ditto_rivals::measure::PATIENCE;
use ditto_rivals::protocol::{Invitation, Peer, Transport, id, serve};
use futures::{StreamExt as _, TryStreamExt as _};
use iroh::protocol::Router;
use iroh::{Endpoint, EndpointAddr, RelayMode, SecretKey, endpoint::presets};
use iroh_blobs::api::Store;
use iroh_blobs::store::fs::FsStore;
use iroh_blobs::{BlobsProtocol, Hash};
use iroh_docs::api::protocol::{AddrInfoOptions, ShareMode};
use iroh_docs::api::{Doc, DocsApi};
use iroh_docs::engine::LiveEvent;
use iroh_docs::protocol::Docs;
use iroh_docs::store::Query;
use iroh_docs::{AuthorId, DocTicket};
use iroh_gossip::net::Gossip;
use parking_lot::{Condvar, Mutex};
use serde_json::Value;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    serve::<Iroh>()
}

/// How many documents are inserted at the same time: each insert waits for two stores.
const INSERTS: usize = 256;

struct Iroh {
    runtime: Runtime,
    router: Router,
    blobs: Store,
    docs: DocsApi,
    author: AuthorId,
    doc: Option<Doc>,
    arrivals: Arc<Arrivals>,
}

/// What has come from the other peer since the database was opened.
#[derive(Default)]
struct Arrivals {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    contents: HashSet<Hash>,
    watched: String,
    /// The newest content of the watched document, perhaps not here yet.
    announced: Option<Hash>,
    population: Option<u64>,
}

impl Peer for Iroh {
    fn open(directory: &Path, relayed: bool) -> Result<Self, Failure> {
        let runtime = Runtime::new()?;
        // Who listens and who dials through a relay are of different families, and find no way around it.
        let address: IpAddr = if relayed { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let secret = directory.join("secret-key");
        let secret_key = match fs::read(&secret) {
            Ok(bytes) => SecretKey::from_bytes(bytes.as_slice().try_into()?),
            Err(_) => {
                let new = SecretKey::generate();
                fs::write(&secret, new.to_bytes())?;
                new
            }
        };
        let (router, blobs, docs) = runtime.block_on(async {
            let endpoint = Endpoint::builder(presets::Minimal)
                .relay_mode(RelayMode::Disabled)
                .secret_key(secret_key)
                .clear_ip_transports()
                .bind_addr((address, 0))?
                .bind()
                .await?;
            let blobs: Store = FsStore::load(directory.join("blobs")).await?.into();
            let gossip = Gossip::builder().spawn(endpoint.clone());
            let docs = Docs::persistent(directory.to_owned())
                .spawn(endpoint.clone(), blobs.clone(), gossip.clone())
                .await?;
            let router = Router::builder(endpoint)
                .accept(iroh_blobs::ALPN, BlobsProtocol::new(&blobs, None))
                .accept(iroh_gossip::ALPN, gossip)
                .accept(iroh_docs::ALPN, docs.clone())
                .spawn();
            Ok::<_, Failure>((router, blobs, docs.api().clone()))
        })?;
        let author = runtime.block_on(docs.author_default())?;
        Ok(Self { runtime, router, blobs, docs, author, doc: None, arrivals: Arc::default() })
    }

    fn load(&mut self, documents: &[Value]) -> Result<(), Failure> {
        let doc = self.own_doc()?;
        let author = self.author;
        let inserts = documents.iter().map(|document| {
            let doc = doc.clone();
            async move {
                doc.set_bytes(author, id(document)?.to_owned(), serde_json::to_vec(document)?).await?;
                Ok::<_, Failure>(())
            }
        });
        self.runtime.block_on(futures::stream::iter(inserts).buffer_unordered(INSERTS).try_collect())
    }

    fn listen(&mut self) -> Result<Invitation, Failure> {
        let doc = self.own_doc()?;
        let ticket = self.runtime.block_on(async {
            // Whoever shares a document syncs it.
            doc.start_sync(Vec::new()).await?;
            doc.share(ShareMode::Write, AddrInfoOptions::Id).await
        })?;
        let address = self.router.endpoint().bound_sockets();
        let address = *address.first().ok_or("the endpoint has no socket")?;
        Ok(Invitation { transport: Transport::Udp, address, secret: ticket.to_string() })
    }

    fn connect(&mut self, invitation: &Invitation) -> Result<(), Failure> {
        let mut ticket: DocTicket = invitation.secret.parse()?;
        let publisher = ticket.nodes.first().ok_or("the ticket names no peer")?.id;
        ticket.nodes = vec![EndpointAddr::new(publisher).with_ip_addr(invitation.address)];
        let (doc, events) = self.runtime.block_on(self.docs.import_and_subscribe(ticket))?;
        self.doc = Some(doc);
        let (arrivals, blobs) = (Arc::clone(&self.arrivals), self.blobs.clone());
        self.runtime.spawn(async move {
            if let Err(error) = note(events.boxed(), &arrivals, &blobs).await {
                eprintln!("events: {error}");
            }
        });
        Ok(())
    }

    fn wait_for_documents(&mut self, count: usize) -> Result<(), Failure> {
        self.arrivals.wait_until(|state| state.contents.len() >= count)
    }

    fn wait_for_changes(&mut self, ids: &[String], population: u64) -> Result<(), Failure> {
        self.arrivals.wait_until(|state| state.contents.len() >= ids.len())?;
        for id in ids {
            if self.read(id)?.get("population").and_then(Value::as_u64) != Some(population) {
                return Err("other documents than expected arrived".into());
            }
        }
        Ok(())
    }

    fn watch(&mut self, id: &str) -> Result<(), Failure> {
        let mut state = self.arrivals.state.lock();
        id.clone_into(&mut state.watched);
        (state.announced, state.population) = (None, None);
        Ok(())
    }

    fn wait_for_value(&mut self, population: u64) -> Result<(), Failure> {
        self.arrivals.wait_until(|state| state.population == Some(population))
    }

    fn change(&mut self, ids: &[String], population: u64) -> Result<(), Failure> {
        let doc = self.own_doc()?;
        for id in ids {
            let mut document = self.read(id)?;
            *document.get_mut("population").ok_or("a document without population")? = population.into();
            let content = serde_json::to_vec(&document)?;
            self.runtime.block_on(doc.set_bytes(self.author, id.clone(), content))?;
        }
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        Ok(self.runtime.block_on(self.router.shutdown())?)
    }
}

impl Iroh {
    /// The document that was opened; at first, a new one.
    fn own_doc(&mut self) -> Result<Doc, Failure> {
        if let Some(doc) = &self.doc {
            return Ok(doc.clone());
        }
        let doc = self.runtime.block_on(self.docs.create())?;
        Ok(self.doc.insert(doc).clone())
    }

    fn read(&self, id: &str) -> Result<Value, Failure> {
        let doc = self.doc.as_ref().ok_or("no document is open")?;
        self.runtime.block_on(async {
            let query = Query::single_latest_per_key().key_exact(id);
            let entry = doc.get_one(query).await?.ok_or("no such entry")?;
            let content = self.blobs.blobs().get_bytes(entry.content_hash()).await?;
            Ok(serde_json::from_slice(&content)?)
        })
    }
}

impl Arrivals {
    fn wait_until(&self, condition: impl Fn(&State) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        while !condition(&state) {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(format!("nothing of the kind arrived within {} s", PATIENCE.as_secs()).into());
            }
        }
        Ok(())
    }
}

/// Keeps what the events of a document tell.
async fn note(
    mut events: futures::stream::BoxStream<'static, anyhow::Result<LiveEvent>>,
    arrivals: &Arrivals,
    blobs: &Store,
) -> Result<(), Failure> {
    while let Some(event) = events.next().await {
        match event? {
            LiveEvent::InsertRemote { entry, .. } => {
                let mut state = arrivals.state.lock();
                if entry.key() == state.watched.as_bytes() {
                    state.announced = Some(entry.content_hash());
                }
            }
            LiveEvent::ContentReady { hash } => {
                let watched = {
                    let mut state = arrivals.state.lock();
                    state.contents.insert(hash);
                    state.announced == Some(hash)
                };
                if watched {
                    let content: Value = serde_json::from_slice(&blobs.blobs().get_bytes(hash).await?)?;
                    arrivals.state.lock().population = content.get("population").and_then(Value::as_u64);
                }
                arrivals.changed.notify_all();
            }
            _ => {}
        }
    }
    Ok(())
}
