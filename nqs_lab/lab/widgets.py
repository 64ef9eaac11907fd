"""What every dashboard is made of: a picture redrawn in milliseconds, a worker thread that can be stopped, controls.

Rules: no pyplot, no `interact`, no Output capture (recent JupyterLab runs callbacks on other threads, where these lose
figures); one lock per dashboard; text for screen readers under each picture; heavy work only behind a Run button.
"""

import io
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Pillow

try:
    import ipywidgets
except ImportError as error:  # the core install has no widgets
    raise ImportError("the dashboards need ipywidgets: pip install 'nqs-lab[lab]'") from error


class Picture:
    """A figure whose moving artists are redrawn over a stored background and sent as PNG bytes.

    Drawing axes, ticks and labels takes most of the time of a matplotlib figure, and a slider does not change them.

    Arguments:
        fig: a figure of the object interface (nqs_lab.lab.notebook.panels).
        moving: the artists that a callback changes, in drawing order.
        width: on the page, in pixels.
    """

    def __init__(self, fig: Figure, moving: list[Artist], *, width: int = 880):
        self.moving = moving
        self.canvas = fig.canvas if isinstance(fig.canvas, FigureCanvasAgg) else FigureCanvasAgg(fig)
        for artist in moving:
            artist.set_animated(True)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(fig.bbox)
        self.widget = ipywidgets.Image(format="png", layout=ipywidgets.Layout(max_width="100%", width=f"{width}px"))

    def refresh(self) -> None:
        """Draw the moving artists as they are now and show the result."""
        self.canvas.restore_region(self.background)
        for artist in self.moving:
            artist.draw(self.canvas.get_renderer())
        buffer = io.BytesIO()
        Pillow.fromarray(np.asarray(self.canvas.buffer_rgba())[..., :3]).save(buffer, "png", compress_level=1)
        self.widget.value = buffer.getvalue()


class Dashboard:
    """What all dashboards share. A subclass makes `picture`, `view` and, behind a Run button, a `worker`."""

    picture: Picture
    view: Any
    worker: Any = None

    @property
    def png(self) -> bytes:
        """The picture shown."""
        return bytes(self.picture.widget.value)

    def close(self) -> None:
        """End the thread, if there is one, and take the dashboard off the page."""
        if self.worker is not None:
            self.worker.close()
        self._page.close()

    @property
    def _page(self) -> Any:
        """The box of controls and picture."""
        return self.view

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Jupyter shows the box of controls and picture."""
        return self._page._repr_mimebundle_(**options)


class Ticket:
    """A running job's right to go on and to show its results; it ends with Stop, with a newer job, or with close."""

    def __init__(self, worker: "Worker"):
        self._worker = worker
        self._ended = threading.Event()

    @property
    def live(self) -> bool:
        """False as soon as the job should end; ask between two pieces of work."""
        return not self._ended.is_set()

    def end(self) -> None:
        """Take the right away."""
        self._ended.set()

    def deliver(self, action: Callable[[], Any]) -> bool:
        """Run `action` under the dashboard's lock unless the job has ended meanwhile; late results are dropped."""
        with self._worker.lock:
            if not self.live:
                return False
            action()
            return True


class Worker:
    """Runs one job at a time in a thread of its own; a new job first ends the old one.

    Arguments:
        lock: the dashboard's lock; results are delivered under it.
        on_error: shows the one-line reason where a job raises.
    """

    def __init__(self, lock: AbstractContextManager[Any], on_error: Callable[[str], Any]):
        self.lock = lock
        self.on_error = on_error
        self.threads: list[threading.Thread] = []
        self.ticket: Ticket | None = None

    def start(self, job: Callable[[Ticket], Any]) -> None:
        """End the job that is running, if any, and start this one."""
        with self.lock:
            self.stop()
            self.ticket = ticket = Ticket(self)
            self.threads = [t for t in self.threads if t.is_alive()]
            self.threads.append(threading.Thread(target=self._run, args=(job, ticket), daemon=True))
            self.threads[-1].start()

    def _run(self, job: Callable[[Ticket], Any], ticket: Ticket) -> None:
        """The thread: the job, and its error as a message."""
        try:
            job(ticket)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            ticket.deliver(lambda: self.on_error(reason))

    def stop(self) -> bool:
        """End the running job; its thread leaves at the next question. True where there was one."""
        with self.lock:
            running = self.ticket is not None and self.ticket.live
            if self.ticket is not None:
                self.ticket.end()
            return running

    def close(self, timeout: float = 10.0) -> None:
        """End the job and wait for its thread."""
        self.stop()
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(timeout)


def message(text: str, *, alarm: bool = False) -> str:
    """A line of HTML that a screen reader announces when it changes; alarms are marked by a word and by colour."""
    body = f"<b>Please check:</b> {text}" if alarm else text
    colour = ";color:#a33b00" if alarm else ""
    role = "alert" if alarm else "status"
    return f'<p role="{role}" aria-live="polite" style="margin:2px 0;line-height:1.4{colour}">{body}</p>'
