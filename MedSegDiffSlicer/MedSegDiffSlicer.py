"""The module MedSegDiffSlicer: it only wires the panel, the scene and the worker process together."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

PUMP_INTERVAL = 30  # ms between two looks at what the worker says
GIVEN = 0.003  # seconds of each of them that are the reading thread's: Slicer's event loop lets no thread have Python
SAMPLES = {"ICBM152HippocampusLeft": "ICBM152_hippocampus_left", "ICBM152HippocampusRight": "ICBM152_hippocampus_right"}


class MedSegDiffSlicer(ScriptedLoadableModule):
    """The module as Slicer lists it."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("MedSegDiff")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["MedSegDiffSlicer contributors"]
        parent.helpText = _(
            "Asks a diffusion model for several opinions about a scan and gives back segments, a map of where the "
            "opinions disagree, and volumes with intervals."
        )
        parent.acknowledgementText = _(
            "After MedSegDiff by Wu et al. (2022, 2023). The sample data are crops of the ICBM 152 template of the "
            "McConnell Brain Imaging Centre, Montreal Neurological Institute."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)
        slicer.app.connect("startupCompleted()", registerSegmentStatistics)


def registerSampleData() -> None:
    """Lists the shipped scans in the Sample Data module."""
    import SampleData

    from medsegdiff.models.store import shipped_resources

    picture = Path(__file__).parent / "Resources" / "Icons" / "ICBM152Hippocampus.png"  # both sides look the same
    for name, stem in SAMPLES.items():
        path = shipped_resources() / "SampleData" / f"{stem}.nii.gz"
        SampleData.SampleDataLogic.registerCustomSampleDataSource(
            category="MedSegDiff",
            sampleName=name,
            uris=path.as_uri(),
            fileNames=path.name,
            nodeNames=name,
            thumbnailFileName=str(picture),
            loadFileTypes="VolumeFile",  # not a segmentation, which .nii.gz may be, too
            checksums="SHA256:" + hashlib.sha256(path.read_bytes()).hexdigest(),
        )


def registerSegmentStatistics() -> None:
    """Adds what a run measured to the module Segment Statistics."""
    from MedSegDiffSlicerLib.nodes.segment_statistics_plugin import register

    register()


class MedSegDiffSlicerWidget(ScriptedLoadableModuleWidget):
    """The module's place in the application; what is in it see MedSegDiffSlicerLib.panel.panel."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.logic = self.panel = self.ui = self._content = None

    def setup(self) -> None:
        super().setup()
        from MedSegDiffSlicerLib.panel.panel import Panel

        widget = self._content = slicer.util.loadUI(self.resourcePath("UI/MedSegDiffSlicer.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = MedSegDiffSlicerLogic()
        self.panel = Panel(widget, self.ui, self.logic)

    def cleanup(self) -> None:
        """Called when the application ends or the module is reloaded."""
        self.panel.close()
        self.logic.close()
        self._content.deleteLater()  # a module that is reloaded would keep it, hidden, with all that it observes

    def enter(self) -> None:
        """Called each time the panel is opened."""
        self.panel.enter()

    def exit(self) -> None:
        """Called each time another module is opened."""
        self.panel.leave()


class MedSegDiffSlicerLogic(ScriptedLoadableModuleLogic):
    """What scripts use: slicer.util.getModuleLogic("MedSegDiffSlicer")."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._client = None
        self._jobs = []
        self._timer = qt.QTimer()
        self._timer.setInterval(PUMP_INTERVAL)

    @property
    def busy(self) -> bool:
        """Whether a segmentation is under way, or its nodes are being added."""
        return any(not job.finished for job in self._jobs)

    def getParameterNode(self):
        """The panel's choices."""
        from MedSegDiffSlicerLib.panel.parameters import MedSegDiffSlicerParameterNode

        return MedSegDiffSlicerParameterNode(super().getParameterNode())

    def models(self) -> list:
        """The installed models (medsegdiff.models.package.ModelPackage), by name, and the ensembles of them
        (.ensembles)."""
        from medsegdiff.models.ensembles import list_installed

        return list_installed()

    def importModel(self, path: str | Path, options: Sequence[str] = ()):
        """Takes a model (what `medsegdiff models import` takes) into the user's store, while the application stays
        alive; returns its package.

        options: what the model does not tell, as on that command line: ["--channels", "T1,T2", "--licence", "MIT"].
        Raises RequestError for what is no model, damaged, or lacks an option, which it names, and where Python packages
        are missing.
        """
        from MedSegDiffSlicerLib.setup import dependencies
        from MedSegDiffSlicerLib.setup.model_import import import_model
        from MedSegDiffSlicerLib.setup.python_executable import find_python

        dependencies.require()
        return import_model(find_python(), path, _processEvents, options)

    def segment(self, volumeNodes, model: str | Sequence[str], **options):
        """Segments and waits; the application stays alive. See startSegmentation; raises what stopped it."""
        return self.startSegmentation(volumeNodes, model, **options).wait()

    def startSegmentation(
        self,
        volumeNodes,
        model: str | Sequence[str],
        *,
        segmentationNode=None,
        measures: Sequence[str] = ("entropy",),
        probabilityVolumes: bool = True,
        samplesSequence: bool = True,
        onProgress: Callable[[float, str, float | None], None] | None = None,
        onFinished: Callable | None = None,
        onPreview: Callable | None = None,
        **options,
    ):
        """Starts a segmentation and returns at once, with a job: job.cancel(), job.wait(), job.finished, job.result.

        volumeNodes: a volume node, or a list of them (channels of one case; None for one that the model can do
          without).
        model: a name or a folder, of an ensemble too; several models are all asked.
        segmentationNode: an existing node, whose segments of an earlier run are replaced, unless that was reviewed, or
          edited so that it cannot hold them, meanwhile; None makes a new one.
        measures: uncertainty maps to add.  probabilityVolumes, samplesSequence: whether to add these too.
        options: samples, steps, seed, ... (medsegdiff's SegmentRequest).
        onProgress(fraction 0 - 1, message, seconds left or None); onFinished(job): job.result, or job.error.
        onPreview(labelmap (I, J, K) uint8 of the opinions so far, their number): now and then.
        Raises RequestError where volumes, model, options or segmentationNode cannot be used, or Python packages are
        missing. What only the engine finds out (a wrong number of channels, say), or that a volume's voxels were
        changed meanwhile, is the job's error: a RequestError too.
        """
        from MedSegDiffSlicerLib.jobs.run_request import as_list, given_volumes, request_of
        from MedSegDiffSlicerLib.nodes.nodes_from_result import ResultAdding, can_take, check_measures, check_segmentation
        from MedSegDiffSlicerLib.nodes.unchanged import Unchanged
        from MedSegDiffSlicerLib.nodes.verdicts import judgements
        from MedSegDiffSlicerLib.nodes.volume_to_image import image_from_volumes

        nodes, request = given_volumes(as_list(volumeNodes), request_of(model, options))
        image = image_from_volumes(nodes)
        check_measures(measures)
        if segmentationNode is not None:
            check_segmentation(segmentationNode, nodes[0])
        judged = len(judgements(segmentationNode))

        def add(result):
            result.report["inputs"] = [node.GetName() for node in nodes]
            into = segmentationNode
            if into is not None and (len(judgements(into)) > judged or not can_take(into, nodes[0])):
                into = None  # its verdicts would go, or it was edited meanwhile
            wanted = (measures, probabilityVolumes, samplesSequence)
            return ResultAdding(slicer.mrmlScene, result, nodes[0], into, *wanted, ahead=True)

        return self._start(image, request, nodes, add, onProgress, onPreview, onFinished, check=Unchanged(nodes).check)

    def startOpinions(self, image, request, onProgress=None, onPreview=None, onFinished=None, volumeNodes=()):
        """Like startSegmentation, but of a backend image and request, and adding no nodes: job.result is the backend's
        SegmentResult.

        image, request: medsegdiff's Image and SegmentRequest.  onProgress, onPreview, onFinished: see
          startSegmentation.
        volumeNodes: what the image was made from; the run stops when one of them is deleted.
        Raises RequestError where Python packages are missing, JobError where the worker cannot be started.
        """
        return self._start(image, request, volumeNodes, lambda result: result, onProgress, onPreview, onFinished)

    def _start(self, image, request, nodes, add, onProgress, onPreview, onFinished, check=lambda: None):
        from MedSegDiffSlicerLib.setup import dependencies
        from MedSegDiffSlicerLib.jobs.controller import SegmentationJob

        dependencies.require()
        workerJob = self._worker().submit(request, image, previews=onPreview is not None)
        job = SegmentationJob(workerJob, nodes, add, onProgress, onFinished, onPreview, check)
        job.process_events = _processEvents
        if any(not other.finished for other in self._jobs):
            job.tell_waiting()
        self._jobs.append(job)
        if not self._timer.active:
            self._timer.connect("timeout()", self._pump)  # which keeps the logic alive, so only as long as needed
            self._timer.start()
        return job

    def startBatch(self, cases, model, *, names=None, onChanged=None, onFinished=None, **options):
        """Starts to segment one case after the other and returns at once, with a batch: batch.cases, batch.cancel(),
        batch.wait() (the results, None where there is none), batch.resume() (does again what was cancelled or failed),
        batch.table (a table node with all volumes, at the end).
        Of the results, report and nodes are kept; `result`, the backend's with its arrays, is None.

        cases: volume nodes, or lists of them (channels).  names: of the cases, those of their volumes by default.
        onChanged(batch): a case began, went on or ended; onFinished(batch).  options: see startSegmentation.
        A case that fails costs itself only: its `error` tells why. Raises RequestError for a case without a volume,
        names that are more or fewer than the cases, or one segmentationNode for several cases.
        """
        from medsegdiff.errors import RequestError
        from MedSegDiffSlicerLib.jobs.batch_runs import volume_batch
        from MedSegDiffSlicerLib.jobs.run_request import as_list

        cases = as_list(cases)
        if "onProgress" in options:
            raise RequestError(_("onProgress is of a single segmentation; a batch tells how it goes by onChanged"))
        if options.get("segmentationNode") is not None and len(cases) > 1:
            raise RequestError(
                _("each case would replace the segments of the one before; leave out segmentationNode or give one case")
            )

        def start(volumes, onProgress, onEnd):
            return self.startSegmentation(volumes, model, onProgress=onProgress, onFinished=onEnd, **options)

        return self._begin(volume_batch(start, cases, names, onChanged, onFinished))

    def startSequenceBatch(
        self, browserNode, volumeNodes, model, *, frames=None, onChanged=None, onFinished=None, **options
    ):
        """Like startBatch, for the frames of a sequence: batch.segmentations is a sequence on the same index, which the
        browser shows in batch.shown.

        volumeNodes: the volumes that the browser shows, one a channel (None: missing).  frames: numbers of those that
          are segmented, from 0; all by default.  options: samples, steps, seed, ...
        Raises RequestError where no volume belongs to the browser, or frames, model or options cannot be used.
        """
        from MedSegDiffSlicerLib.jobs.batch_runs import sequence_batch
        from MedSegDiffSlicerLib.jobs.run_request import as_list, given_volumes, request_of

        volumeNodes, request = given_volumes(as_list(volumeNodes), request_of(model, options))

        def start(image, add, onProgress, onEnd):
            return self._start(image, request, [*volumeNodes, browserNode], add, onProgress, None, onEnd)

        return self._begin(sequence_batch(start, browserNode, volumeNodes, frames, onChanged, onFinished))

    def _begin(self, batch):
        batch.process_events = _processEvents
        return batch.begin()

    def refuse(self, result, fusion: str = "mean", threshold: float | None = None):
        """New segments from the stored samples, without inference: a new segmentation and table; maps stay.

        result: what segment gave.  fusion: mean, majority, staple or multilabel-staple.
        threshold: foreground probability in (0, 1).
        Raises RequestError for a result whose arrays are not at hand (that of a batch, or one that came with a scene),
        and where the volume was removed or has another grid by now.
        """
        from medsegdiff.errors import RequestError
        from MedSegDiffSlicerLib.nodes.frame import keep_frame
        from MedSegDiffSlicerLib.nodes.nodes_from_result import add_result
        from MedSegDiffSlicerLib.nodes.scene_change import is_in_scene
        from MedSegDiffSlicerLib.nodes.unchanged import check_grid

        _checkResult(result)
        if not is_in_scene(result.volumeNode):
            raise RequestError(_("the volume of this result is no longer in the scene; run the model on another one"))
        if result.result is None:
            raise RequestError(_("the opinions of this result are no longer at hand; run the model again"))
        check_grid(result.volumeNode, result.result.affine, result.result.labelmap.shape)
        new = result.result.refuse(fusion=fusion, threshold=threshold)
        added = add_result(slicer.mrmlScene, new, result.volumeNode, measures=(), probabilities=False, samples=False)
        added.frame = result.frame
        keep_frame(added.segmentationNode, result.frame)  # by now the volume may show another one
        added.uncertaintyVolumeNodes = list(filter(is_in_scene, result.uncertaintyVolumeNodes))
        added.probabilityVolumeNodes = list(filter(is_in_scene, result.probabilityVolumeNodes))
        added.samplesSequenceNode = next(filter(is_in_scene, [result.samplesSequenceNode]), None)
        return added

    def plotVolumes(self, result):
        """Shows the volumes of what segment gave, with intervals and all opinions, in a plot view; returns the
        chart."""
        from MedSegDiffSlicerLib.nodes.volume_chart import add_chart
        from MedSegDiffSlicerLib.view.volume_plot import show_chart

        _checkResult(result)
        chart = add_chart(slicer.mrmlScene, result)
        show_chart(chart)
        return chart

    @property
    def workerPid(self) -> int | None:
        """Process id of the worker, None where none runs."""
        return self._client.pid if self._client else None

    def workerLines(self) -> list[str]:
        """What the worker printed last, for the log."""
        return self._client.last_lines if self._client else []

    def close(self) -> None:
        """Ends the worker process; jobs under way end as cancelled."""
        if self._client:
            self._client.close()
            self._client = None
        for job in self._jobs:  # one whose nodes are being added needs no worker any more
            job.cancel()
        self._pump()

    def _worker(self):
        from medsegdiff.worker.client import WorkerClient
        from MedSegDiffSlicerLib.setup.python_executable import find_python

        if self._client is None:
            self._client = WorkerClient(find_python())
        return self._client

    def _pump(self) -> None:
        time.sleep(GIVEN)
        for job in list(self._jobs):
            job.pump()
        self._jobs = [job for job in self._jobs if not job.finished]
        if not self._jobs and self._timer.active:
            self._timer.stop()
            self._timer.disconnect("timeout()", self._pump)


def _checkResult(result) -> None:
    from medsegdiff.errors import RequestError

    if not hasattr(result, "segmentationNode"):
        raise RequestError(_("what segment gave is expected, got {given!r}").format(given=result))


def _processEvents() -> None:
    slicer.app.processEvents()
    time.sleep(0.005)


class MedSegDiffSlicerTest(ScriptedLoadableModuleTest):
    """The short test of an installed extension; Testing/Python holds the thorough ones."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def test_segments_the_sample(self):
        import SampleData

        registerSampleData()
        volume = SampleData.downloadSample(next(iter(SAMPLES)))
        logic = MedSegDiffSlicerLogic()
        try:
            result = logic.segment(volume, model="hippocampus-medsegdiff", samples=2)
        finally:
            logic.close()
        for segment in result.report["segments"]:
            self.assertGreater(segment["volume_mm3"], 0)
        self.assertEqual(result.segmentationNode.GetAttribute("MedSegDiff.Samples"), "2")
