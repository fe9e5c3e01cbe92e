//! The customers: several at once, coming and going for as long as the demo runs. Every answer
//! is checked to the letter.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::shop::http::Client;
use super::shop::stock::PLACES;
use super::shop::{Line, PRODUCTS};

/// How many are in the shop at once.
pub(super) const CUSTOMERS: usize = 5;
/// The next one comes so much later.
const GAP: Duration = Duration::from_millis(150);
/// A customer looks at an answer for this long.
const LOOK: Duration = Duration::from_millis(15);
/// An answer later than this counts as none.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the customers met with so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Visits begun.
    pub(super) visits: u64,
    /// Requests sent.
    pub(super) requests: u64,
    /// Requests without the expected answer.
    pub(super) failures: u64,
    /// The first few failures in words.
    pub(super) complaints: Vec<String>,
    /// The longest wait for an answer.
    pub(super) slowest: Duration,
}

/// The customers at large.
pub(super) struct Customers {
    tally: Arc<Mutex<Tally>>,
    leave: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Customers {
    /// Lets them in at `doors`, one after another: one takes the first, another the next.
    pub(super) fn enter(doors: &[Line]) -> Self {
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (leave, leaving) = watch::channel(false);
        let carts = Arc::new(AtomicU64::new(1000));
        let mut tasks = JoinSet::new();
        let mut wait = Duration::ZERO;
        for door in doors.iter().cycle().take(CUSTOMERS) {
            let stays =
                customer(door.clone(), Arc::clone(&carts), Arc::clone(&tally), leaving.clone());
            tasks.spawn(async move {
                tokio::time::sleep(wait).await;
                stays.await;
            });
            wait += GAP;
        }
        Self { tally, leave, tasks }
    }

    /// How it goes.
    pub(super) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Lets them finish their visits, and says how it went.
    pub(super) async fn leave(mut self) -> Tally {
        let _ = self.leave.send(true);
        while self.tasks.join_next().await.is_some() {}
        self.tally()
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn customer(
    door: Line,
    carts: Arc<AtomicU64>,
    tally: Arc<Mutex<Tally>>,
    leaving: watch::Receiver<bool>,
) {
    while !*leaving.borrow() {
        let cart = carts.fetch_add(1, Ordering::Relaxed);
        lock(&tally).visits += 1;
        if let Err(complaint) = visit(&door, cart, &tally).await {
            let mut tally = lock(&tally);
            tally.failures += 1;
            if tally.complaints.len() < 5 {
                tally.complaints.push(complaint);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One visit, on a connection of its own: browse, fill the cart, look at it, check out.
async fn visit(door: &Line, cart: u64, tally: &Mutex<Tally>) -> Result<(), String> {
    let connect = Client::connect(door, "shop").await;
    let client = connect.map_err(|error| format!("the shop cannot be entered: {error}"))?;
    let mut visit = Visit { client, tally };
    let range: String = PRODUCTS
        .iter()
        .map(|product| format!("{} {} {}\n", product.id, product.name, product.cents))
        .collect();
    visit.expect("GET", "/products", "", &range).await?;

    let mut lines = String::new();
    let mut total = 0;
    let wanted = PRODUCTS.iter().filter(|product| cart % 4 != product.id % 4);
    for (product, quantity) in wanted.zip([1 + cart % 3, 2, 1]) {
        let page = format!(
            "{} {} {}\nin stock: {}\n",
            product.id,
            product.name,
            product.cents,
            PLACES.join(", ")
        );
        let target = format!("/products/{}", product.id);
        visit.expect("GET", &target, "", &page).await?;
        let form = format!("product={}&quantity={quantity}", product.id);
        let line = format!("{} {quantity}\n", product.name);
        let target = format!("/carts/{cart}/items");
        visit.expect("POST", &target, &form, &line).await?;
        lines.push_str(&line);
        total += product.cents * quantity;
    }
    let target = format!("/carts/{cart}");
    let content = format!("{lines}total {total}\n");
    visit.expect("GET", &target, "", &content).await?;
    let paid = format!("{lines}paid {total}\n");
    let checkout = format!("/carts/{cart}/checkout");
    visit.expect("POST", &checkout, "", &paid).await?;
    visit.expect("GET", &target, "", "total 0\n").await
}

struct Visit<'a> {
    client: Client,
    tally: &'a Mutex<Tally>,
}

impl Visit<'_> {
    async fn expect(
        &mut self,
        method: &str,
        target: &str,
        form: &str,
        expected: &str,
    ) -> Result<(), String> {
        let began = Instant::now();
        lock(self.tally).requests += 1;
        let call = self.client.call(method, target, form);
        let answer = match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => answer,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let answer = answer.map_err(|error| format!("{method} {target}: {error}"))?;
        let took = began.elapsed();
        {
            let mut tally = lock(self.tally);
            tally.slowest = tally.slowest.max(took);
        }
        if answer.status != 200 || answer.body != expected {
            let (line, body) = (answer.line, answer.body);
            return Err(format!("{method} {target}: wanted {expected:?}, got {line:?} {body:?}"));
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }
}
