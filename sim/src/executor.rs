//! Everything that runs in a world, on one thread: tasks, and a calendar of what is due at which virtual time. Who runs next
//! among those that can is drawn from the seed.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use orderlane_core::Time;

use crate::random::Random;

/// The place of something in the one order of all that happened in a world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// Whose task it is: tasks of a group are stalled and killed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group(pub u32);

impl Group {
    /// Clients and all else that never crashes.
    pub const OUTSIDE: Group = Group(0);
}

/// Runs a world. Cheap to clone.
#[derive(Clone)]
pub struct Executor(Rc<Inner>);

struct Inner {
    micros: Cell<u64>,
    moment: Cell<u64>,
    random: RefCell<Random>,
    /// By number, which is never used again.
    tasks: RefCell<BTreeMap<u64, Task>>,
    task_next: Cell<u64>,
    ready: Arc<Ready>,
    calendar: RefCell<BinaryHeap<Reverse<Due>>>,
    due_next: Cell<u64>,
    stalls: RefCell<BTreeMap<Group, u64>>,
}

struct Task {
    group: Group,
    /// `None` while it is being polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Waker,
}

/// Tasks that can run, in the order in which they were woken, each once.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

impl Ready {
    fn add(&self, task: u64) {
        let mut tasks = self.0.lock().expect("nothing panics while it holds this lock");
        if !tasks.contains(&task) {
            tasks.push(task);
        }
    }
}

struct Alarm {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ready.add(self.task);
    }
}

struct Due {
    micros: u64,
    number: u64,
    action: Box<dyn FnOnce()>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (self.micros, self.number).cmp(&(other.micros, other.number))
    }
}

/// Virtual time at the start of every world: no more than a number with the right count of digits.
const START_MICROS: u64 = 1_767_225_600_000_000;
/// What a step costs, at most.
const STEP_MICROS_MAX: u64 = 20;

impl Executor {
    /// A world at its start.
    #[must_use]
    pub fn new(random: Random) -> Executor {
        Executor(Rc::new(Inner {
            micros: Cell::new(START_MICROS),
            moment: Cell::new(0),
            random: RefCell::new(random),
            tasks: RefCell::default(),
            task_next: Cell::new(0),
            ready: Arc::default(),
            calendar: RefCell::default(),
            due_next: Cell::new(0),
            stalls: RefCell::default(),
        }))
    }

    /// The true virtual time; lanes see their own, see `driver`.
    #[must_use]
    pub fn now(&self) -> Time {
        Time(self.0.micros.get())
    }

    /// Virtual microseconds since the start of the world.
    #[must_use]
    pub fn elapsed_micros(&self) -> u64 {
        self.0.micros.get() - START_MICROS
    }

    /// A new place in the order of all that happens, later than all before.
    pub fn tick(&self) -> Moment {
        self.0.moment.set(self.0.moment.get() + 1);
        Moment(self.0.moment.get())
    }

    /// Now, in the order of all that happens.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment(self.0.moment.get())
    }

    /// Adds a task, ready to run.
    pub fn spawn(&self, group: Group, task: impl Future<Output = ()> + 'static) {
        let number = self.0.task_next.get();
        self.0.task_next.set(number + 1);
        let waker = Waker::from(Arc::new(Alarm { task: number, ready: self.0.ready.clone() }));
        self.0.tasks.borrow_mut().insert(number, Task { group, future: Some(Box::pin(task)), waker });
        self.0.ready.add(number);
    }

    /// Does something `micros` microseconds from now.
    pub fn after(&self, micros: u64, action: impl FnOnce() + 'static) {
        let number = self.0.due_next.get();
        self.0.due_next.set(number + 1);
        let micros = self.0.micros.get().saturating_add(micros);
        self.0.calendar.borrow_mut().push(Reverse(Due { micros, number, action: Box::new(action) }));
    }

    /// Completes `micros` microseconds from now.
    pub fn sleep(&self, micros: u64) -> Promise<()> {
        let (resolver, promise) = promise();
        self.after(micros, move || resolver.resolve(()));
        promise
    }

    /// No task of the group runs for the next `micros` microseconds.
    pub fn stall(&self, group: Group, micros: u64) {
        self.0.stalls.borrow_mut().insert(group, self.0.micros.get() + micros);
        self.after(micros, || {});
    }

    /// Drops all tasks of a group. Not from one of its own tasks.
    pub fn kill(&self, group: Group) {
        let dead: Vec<u64> = {
            let tasks = self.0.tasks.borrow();
            tasks.iter().filter(|(_, task)| task.group == group).map(|(number, _)| *number).collect()
        };
        for number in dead {
            let task = self.0.tasks.borrow_mut().remove(&number);
            // Dropping a future may wake or spawn others.
            drop(task);
        }
        self.0.stalls.borrow_mut().remove(&group);
    }

    /// The world is over: drops all tasks and all that is due. They hold what holds the executor, and would never be freed.
    pub fn end(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        drop(tasks);
        let due = std::mem::take(&mut *self.0.calendar.borrow_mut());
        drop(due);
    }

    /// How many tasks a group has.
    #[must_use]
    pub fn count(&self, group: Group) -> usize {
        self.0.tasks.borrow().values().filter(|task| task.group == group).count()
    }

    /// Does one thing: what is due first, else a task that is ready, else time jumps to what is due next. False when there is
    /// nothing to do for ever.
    pub fn step(&self) -> bool {
        if self.run_due(self.0.micros.get()) {
            return true;
        }
        if let Some(task) = self.draw_task() {
            self.poll(task);
            let cost = self.0.random.borrow_mut().between(1, STEP_MICROS_MAX);
            self.0.micros.set(self.0.micros.get() + cost);
            return true;
        }
        let next = self.0.calendar.borrow().peek().map(|Reverse(due)| due.micros);
        match next {
            Some(micros) => {
                self.0.micros.set(micros.max(self.0.micros.get()));
                self.run_due(micros)
            }
            None => false,
        }
    }

    fn run_due(&self, micros: u64) -> bool {
        let due = {
            let mut calendar = self.0.calendar.borrow_mut();
            match calendar.peek() {
                Some(Reverse(due)) if due.micros <= micros => calendar.pop(),
                _ => None,
            }
        };
        let Some(Reverse(due)) = due else { return false };
        self.tick();
        (due.action)();
        true
    }

    /// Any group that can run, then the task of it that was woken first; one time in four any of its tasks.
    fn draw_task(&self) -> Option<u64> {
        let mut ready = self.0.ready.0.lock().expect("nothing panics while it holds this lock");
        let tasks = self.0.tasks.borrow();
        let stalls = self.0.stalls.borrow();
        ready.retain(|number| tasks.contains_key(number));
        let now = self.0.micros.get();
        let group_of = |number: &u64| tasks[number].group;
        let can_run = |group: &Group| stalls.get(group).is_none_or(|until| *until <= now);
        let mut groups: Vec<Group> = ready.iter().map(group_of).filter(can_run).collect();
        groups.sort_unstable();
        groups.dedup();
        if groups.is_empty() {
            return None;
        }
        let mut random = self.0.random.borrow_mut();
        let group = *random.pick(&groups);
        let own: Vec<usize> = (0..ready.len()).filter(|index| group_of(&ready[*index]) == group).collect();
        let index = if random.chance(250) { *random.pick(&own) } else { own[0] };
        Some(ready.remove(index))
    }

    fn poll(&self, number: u64) {
        self.tick();
        let taken = {
            let mut tasks = self.0.tasks.borrow_mut();
            let Some(task) = tasks.get_mut(&number) else { return };
            task.future.take().map(|future| (future, task.waker.clone()))
        };
        let Some((mut future, waker)) = taken else { return };
        let done = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        if done {
            drop(future);
            self.0.tasks.borrow_mut().remove(&number);
        } else if let Some(task) = self.0.tasks.borrow_mut().get_mut(&number) {
            task.future = Some(future);
        }
    }
}

/// Completes a [`Promise`].
pub struct Resolver<T>(Rc<RefCell<State<T>>>);

/// A value to come.
pub struct Promise<T>(Rc<RefCell<State<T>>>);

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

/// A value to come and the means to bring it. A promise whose resolver is dropped never completes.
pub fn promise<T>() -> (Resolver<T>, Promise<T>) {
    let state = Rc::new(RefCell::new(State { value: None, waker: None }));
    (Resolver(state.clone()), Promise(state))
}

impl<T> Resolver<T> {
    /// Completes the promise.
    pub fn resolve(self, value: T) {
        let mut state = self.0.borrow_mut();
        state.value = Some(value);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut state = self.0.borrow_mut();
        match state.value.take() {
            Some(value) => Poll::Ready(value),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
