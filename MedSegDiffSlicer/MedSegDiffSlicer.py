"""The module MedSegDiffSlicer: it only wires the panel, the scene and the worker process together."""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import qt
import slicer
import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

PUMP_INTERVAL = 30  # ms between two looks at what the worker says
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
            checksums="SHA256:" + hashlib.sha256(path.read_bytes()).hexdigest(),
        )


def registerSegmentStatistics() -> None:
    """Adds what a run measured to the module Segment Statistics."""
    from MedSegDiffSlicerLib.segment_statistics_plugin import register

    register()


@parameterNodeWrapper
class MedSegDiffSlicerParameterNode:
    """The panel's choices, saved with the scene.

    segmentation: where the segments go; None makes a new one.  showUncertainty: whether the map lies over the scan.
    uncertaintyVolume, statistics: what the last run left.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: str = ""
    samples: Annotated[int, WithinRange(1, 1000)] = 8
    steps: Annotated[int, WithinRange(1, 1000)] = 4
    seed: Annotated[int, WithinRange(0, 2147483647)] = 0
    segmentation: vtkMRMLSegmentationNode
    showUncertainty: bool = True
    uncertaintyVolume: vtkMRMLScalarVolumeNode
    statistics: vtkMRMLTableNode


class MedSegDiffSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameters = None
        self._guiTag = None
        self._job = None

    def setup(self) -> None:
        super().setup()
        panel = slicer.util.loadUI(self.resourcePath("UI/MedSegDiffSlicer.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = MedSegDiffSlicerLogic()
        self._listModels()
        header = [_("Segment"), _("Volume [mm³] (95 %)"), _("Dice (est.)")]
        self.ui.resultTable.setColumnCount(len(header))
        self.ui.resultTable.setHorizontalHeaderLabels(header)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self._onSceneEndClose)
        self.ui.runButton.connect("clicked(bool)", self.onRun)
        self.ui.cancelButton.connect("clicked(bool)", self.onCancel)
        self.ui.modelComboBox.connect("currentIndexChanged(int)", self._onModelChosen)
        self.ui.overlayButton.connect("toggled(bool)", self._showOverlay)
        self._showParameters(self.logic.getParameterNode())

    def cleanup(self) -> None:
        """Called when the application ends or the module is reloaded."""
        self._showParameters(None)
        self.removeObservers()
        self.logic.close()

    def enter(self) -> None:
        """Called each time the panel is opened."""
        self._listModels()
        self._showParameters(self.logic.getParameterNode())

    def onRun(self) -> None:
        """Starts a segmentation of what the panel says."""
        chosen = self._parameters
        try:
            if not self._ensureDependencies():
                return
            self._job = self.logic.startSegmentation(
                chosen.inputVolume,
                model=chosen.model,
                samples=chosen.samples,
                steps=chosen.steps,
                seed=chosen.seed,
                segmentationNode=chosen.segmentation,
                onProgress=self._onProgress,
                onFinished=self._onFinished,
            )
        except Exception as error:
            self._showMessage(str(error), isError=True)
            return
        _showInViews(chosen.inputVolume)
        self.ui.progressBar.value = 0
        self._showMessage(_("Starting..."))
        self._update()

    def onCancel(self) -> None:
        """Stops the segmentation under way."""
        if self._job:
            self._showMessage(_("Stopping..."))
            self._job.cancel()

    def _ensureDependencies(self) -> bool:
        from MedSegDiffSlicerLib import dependencies

        names = dependencies.missing()
        if not names:
            return True
        if not slicer.util.confirmOkCancelDisplay(dependencies.explanation(names), _("Install Python packages")):
            self._showMessage(_("Nothing was installed; a segmentation needs these packages."), isError=True)
            return False
        dependencies.install(names)
        return True

    def _onProgress(self, fraction: float, message: str, secondsLeft: float | None) -> None:
        self.ui.progressBar.value = round(1000 * fraction)
        if secondsLeft is not None:
            message = _("{message} - {seconds} s left").format(message=message, seconds=max(1, round(secondsLeft)))
        self._showMessage(message)

    def _onFinished(self, job) -> None:
        self._job = None
        if job.error is None:
            self._parameters.uncertaintyVolume = job.result.uncertaintyVolumeNodes[0]
            self._parameters.statistics = job.result.statisticsTableNode
            self._showOverlay(self._parameters.showUncertainty)
            done = _("Done in {seconds:.1f} s.").format(seconds=job.seconds)
            self._showMessage("\n".join([done, *job.result.report["warnings"]]))
        elif job.cancelled:
            self._showMessage(_("Cancelled; the scene is as it was."))
        else:
            self._showMessage(str(job.error), isError=True)
        self._update()

    def _showTable(self) -> None:
        """The statistics of the last run, shortened to what fits."""
        node = self._parameters.statistics if self._parameters else None
        rows = node.GetTable().GetNumberOfRows() if node else 0
        self.ui.resultTable.setRowCount(rows)
        for row in range(rows):

            def value(column, row=row):
                return node.GetTable().GetValueByName(row, column)

            volume, low, high = (value(f"Volume {part}[mm3]").ToDouble() for part in ("", "low ", "high "))
            texts = (
                value("Segment").ToString(),
                f"{volume:.0f} ({low:.0f} - {high:.0f})",
                f"{value('Expected Dice').ToDouble():.2f}",
            )
            for column, text in enumerate(texts):
                self.ui.resultTable.setItem(row, column, qt.QTableWidgetItem(text))
        self.ui.resultTable.resizeColumnsToContents()

    def _showOverlay(self, visible: bool) -> None:
        from MedSegDiffSlicerLib.overlay import hide_overlay, show_overlay

        node = self._parameters.uncertaintyVolume if self._parameters else None
        if node is not None:
            (show_overlay if visible else hide_overlay)(slicer.mrmlScene, node)

    def _showMessage(self, text: str, isError: bool = False) -> None:
        self.ui.messageLabel.text = text[:1].upper() + text[1:]
        self.ui.messageLabel.styleSheet = "color: #c0392b" if isError else ""

    def _listModels(self) -> None:
        """Fills the list anew, as models may have been imported; _showParameters then shows the chosen one."""
        self._models = {package.name: package for package in self.logic.models()}
        self.ui.modelComboBox.blockSignals(True)
        self.ui.modelComboBox.clear()
        self.ui.modelComboBox.addItems(list(self._models))
        self.ui.modelComboBox.blockSignals(False)

    def _onModelChosen(self, _index: int) -> None:
        """Takes over the chosen model's own numbers of samples and steps."""
        package = self._models.get(self.ui.modelComboBox.currentText)
        if package is None or self._parameters is None or self._parameters.model == package.name:
            return
        self._parameters.model = package.name
        self._parameters.samples = package.sampling.get("samples", 1)
        self._parameters.steps = package.sampling.get("steps", 1)

    def _showParameters(self, parameters: MedSegDiffSlicerParameterNode | None) -> None:
        if self._parameters is not None:
            self._parameters.disconnectGui(self._guiTag)
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self._update)
        self._parameters = parameters
        if parameters is None:
            return
        self._guiTag = parameters.connectGui(self.ui)
        self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self._update)
        if parameters.model in self._models:
            self.ui.modelComboBox.currentText = parameters.model
        else:
            self._onModelChosen(self.ui.modelComboBox.currentIndex)
        if parameters.inputVolume is None:
            parameters.inputVolume = _firstScan()
        self._update()

    def _update(self, _caller=None, _event=None) -> None:
        """Brings buttons and table in line with the choices and with what is there."""
        chosen, running = self._parameters, self._job is not None
        ready = chosen is not None and chosen.inputVolume is not None and chosen.model != ""
        self.ui.runButton.enabled = ready and not running
        self.ui.runButton.toolTip = _("Segment the volume.") if ready else _("Choose an input volume and a model.")
        self.ui.cancelButton.enabled = running
        self.ui.progressBar.visible = running
        self.ui.resultCollapsibleButton.enabled = chosen is not None and chosen.uncertaintyVolume is not None
        self._showTable()

    def _onSceneStartClose(self, _caller, _event) -> None:
        self._showParameters(None)
        self._update()

    def _onSceneEndClose(self, _caller, _event) -> None:
        if self.parent.isEntered:
            self._showParameters(self.logic.getParameterNode())


class MedSegDiffSlicerLogic(ScriptedLoadableModuleLogic):
    """What scripts use: slicer.util.getModuleLogic("MedSegDiffSlicer")."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self._client = None
        self._jobs = []
        self._timer = qt.QTimer()
        self._timer.setInterval(PUMP_INTERVAL)
        self._timer.connect("timeout()", self._pump)

    def getParameterNode(self) -> MedSegDiffSlicerParameterNode:
        """The panel's choices."""
        return MedSegDiffSlicerParameterNode(super().getParameterNode())

    def models(self) -> list:
        """The installed models (medsegdiff.models.package.ModelPackage), by name."""
        from medsegdiff.models.store import list_models

        return list_models()

    def importModel(self, path: str | Path):
        """Copies a model package (folder or .zip) into the user's model store. Raises RequestError if it is not one."""
        from medsegdiff.models.importing import import_package

        return import_package(path)

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
        onProgress: Callable[[float, str, float | None], None] | None = None,
        onFinished: Callable | None = None,
        onPreview: Callable | None = None,
        **options,
    ):
        """Starts a segmentation and returns at once, with a job: job.cancel(), job.wait(), job.finished, job.result.

        volumeNodes: a volume node, or a list of them (channels of one case, on one grid).
        model: a name or a folder; several are all asked.
        segmentationNode: an existing node whose segments are replaced; None makes a new one.
        measures: uncertainty maps to add.  options: samples, steps, seed, ... (medsegdiff's SegmentRequest).
        onProgress(fraction 0 - 1, message, seconds left or None); onFinished(job): job.result, or job.error.
        onPreview(labelmap (I, J, K) uint8 of the opinions so far, their number): now and then.
        Raises RequestError where volumes, model or options cannot be used, or Python packages are missing. What only
        the engine finds out (a wrong number of channels, say) is the job's error: a RequestError too.
        """
        from medsegdiff.inference.request import SegmentRequest
        from medsegdiff.models.store import find_model
        from MedSegDiffSlicerLib.nodes_from_result import ResultAdding, check_measures
        from MedSegDiffSlicerLib.volume_to_image import image_from_volumes

        nodes = list(volumeNodes) if isinstance(volumeNodes, (list, tuple)) else [volumeNodes]
        image = image_from_volumes(nodes)
        check_measures(measures)
        models = [model] if isinstance(model, (str, Path)) else model
        first, *others = [str(find_model(one).folder.resolve()) for one in models]
        request = SegmentRequest.from_dict({"model": first, "others": others, **options})

        def add(result):
            result.report["inputs"] = [node.GetName() for node in nodes]
            return ResultAdding(slicer.mrmlScene, result, nodes[0], segmentationNode, measures, ahead=True)

        return self._start(image, request, nodes, add, onProgress, onPreview, onFinished)

    def startOpinions(self, image, request, onProgress=None, onPreview=None, onFinished=None, volumeNodes=()):
        """Like startSegmentation, but of a backend image and request, and adding no nodes: job.result is the backend's
        SegmentResult.

        image, request: medsegdiff's Image and SegmentRequest.  onProgress, onPreview, onFinished: see startSegmentation.
        volumeNodes: what the image was made from; the run stops when one of them is deleted.
        Raises RequestError where Python packages are missing, JobError where the worker cannot be started.
        """
        return self._start(image, request, volumeNodes, lambda result: result, onProgress, onPreview, onFinished)

    def _start(self, image, request, nodes, add, onProgress, onPreview, onFinished):
        from MedSegDiffSlicerLib import dependencies
        from MedSegDiffSlicerLib.controller import SegmentationJob

        dependencies.require()
        workerJob = self._worker().submit(request, image, previews=onPreview is not None)
        job = SegmentationJob(workerJob, nodes, add, onProgress, onFinished, onPreview)
        job.process_events = _processEvents
        self._jobs.append(job)
        self._timer.start()
        return job

    def refuse(self, result, fusion: str = "mean", threshold: float | None = None):
        """New segments from the stored samples, without inference: a new segmentation and table; maps stay.

        result: what segment gave.  fusion: mean, majority, staple or multilabel-staple.
        threshold: foreground probability in (0, 1).
        """
        from MedSegDiffSlicerLib.nodes_from_result import add_result

        new = result.result.refuse(fusion=fusion, threshold=threshold)
        added = add_result(slicer.mrmlScene, new, result.volumeNode, measures=(), probabilities=False, samples=False)
        added.uncertaintyVolumeNodes = result.uncertaintyVolumeNodes
        added.probabilityVolumeNodes = result.probabilityVolumeNodes
        added.samplesSequenceNode = result.samplesSequenceNode
        return added

    def plotVolumes(self, result):
        """Shows the volumes of what segment gave, with their intervals and all opinions, in a plot view; the chart node."""
        from MedSegDiffSlicerLib.volume_chart import add_chart, show_chart

        chart = add_chart(slicer.mrmlScene, result)
        show_chart(chart)
        return chart

    @property
    def workerPid(self) -> int | None:
        """Process id of the worker, None where none runs."""
        return self._client.pid if self._client else None

    def close(self) -> None:
        """Ends the worker process; jobs under way end as cancelled."""
        if self._client:
            self._client.close()
            self._client = None
        self._pump()

    def _worker(self):
        from medsegdiff.worker.client import WorkerClient
        from MedSegDiffSlicerLib.python_executable import find_python

        if self._client is None:
            self._client = WorkerClient(find_python())
        return self._client

    def _pump(self) -> None:
        for job in list(self._jobs):
            job.pump()
        self._jobs = [job for job in self._jobs if not job.finished]
        if not self._jobs:
            self._timer.stop()


def _processEvents() -> None:
    slicer.app.processEvents()
    time.sleep(0.005)


def _firstScan():
    """The scan that the user looks at, or the first one of the scene; never a map of ours."""
    active = slicer.mrmlScene.GetNodeByID(slicer.app.applicationLogic().GetSelectionNode().GetActiveVolumeID() or "")
    for node in [*([active] if active else []), *slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")]:
        if node.GetAttribute("MedSegDiff.Model") is None and not node.IsA("vtkMRMLLabelMapVolumeNode"):
            return node
    return None


def _showInViews(volume) -> None:
    """Makes the scan the background of the slice views unless it already is."""
    shown = {view.GetBackgroundVolumeID() for view in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    if shown != {volume.GetID()}:
        slicer.util.setSliceViewerLayers(background=volume, fit=True)


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
