// @ts-check
/** What the widgets say, in the languages of the node definitions. */

/** @type {Record<string, Record<string, string>>} */
const WORDS = {
  en: {
    score: "score",
    pass: "pass",
    block: "block",
    observed: "observed",
    none: "No score yet. Press Run.",
    above: "above {share} % of known prompts",
    p_value: "p = {p}",
    comma: ", ",
    uncalibrated: "no calibration for these settings",
    several: "{blocked} of {all} blocked",
    gauge: "{verdict}: score {score}, {line}",
    threshold: "Threshold",
    dragged: "{value}, for the next run",
    details: "Experts and seed",
    experts: "How far apart the experts are, in % of the farthest pair",
    models: "variance from the models",
    seed: "variance from the seed",
    response: "response without the ensemble",
    unmeasured: "not measured",
    history: "Last scores",
    taken_pass: "took on_pass",
    taken_block: "took on_block",
    stopped: "ends here",
    through: "let through",
    passed: "passed",
    blocked: "blocked",
    toast: "EMoE blocked a prompt",
    why_p: "p = {p}, alpha {alpha}",
    why_score: "score {score}, threshold {threshold}",
    to_gate: "Click to see the Gate.",
    see_gate: "See the Gate",
    setting: "Say it when a Gate blocks a prompt",
    words: "How much each word raises the uncertainty",
    word: "{word}: {change}",
  },
  ja: {
    score: "スコア",
    pass: "通過",
    block: "ブロック",
    observed: "観察",
    none: "スコアはまだありません。実行してください。",
    above: "既知のプロンプトの{share} %より上",
    p_value: "p = {p}",
    comma: "、",
    uncalibrated: "この設定のキャリブレーションなし",
    several: "ブロック{blocked}/{all}件",
    gauge: "{verdict}: スコア{score}、{line}",
    threshold: "しきい値",
    dragged: "{value}(次の実行から)",
    details: "エキスパートとシード",
    experts: "エキスパート同士の隔たり(最も遠い組に対する%)",
    models: "モデルによる分散",
    seed: "シードによる分散",
    response: "単独モデルの応答",
    unmeasured: "未測定",
    history: "最近のスコア",
    taken_pass: "on_passへ",
    taken_block: "on_blockへ",
    stopped: "ここで終了",
    through: "通しました",
    passed: "通過",
    blocked: "ブロック",
    toast: "EMoEがプロンプトをブロックしました",
    why_p: "p = {p}、alpha {alpha}",
    why_score: "スコア{score}、しきい値{threshold}",
    to_gate: "クリックするとゲートを表示します。",
    see_gate: "ゲートを表示",
    setting: "ゲートがプロンプトをブロックしたら知らせる",
    words: "各単語が不確かさをどれだけ上げるか",
    word: "{word}: {change}",
  },
  zh: {
    score: "分数",
    pass: "通过",
    block: "拦截",
    observed: "观察",
    none: "还没有分数。请运行。",
    above: "高于 {share} % 的已知提示词",
    p_value: "p = {p}",
    comma: ",",
    uncalibrated: "没有适合这些设置的校准",
    several: "{all} 个中拦截 {blocked} 个",
    gauge: "{verdict}:分数 {score},{line}",
    threshold: "阈值",
    dragged: "{value}(下次运行生效)",
    details: "专家与种子",
    experts: "专家之间的差距(占最远一对的 %)",
    models: "来自模型的方差",
    seed: "来自种子的方差",
    response: "单个模型的响应",
    unmeasured: "未测量",
    history: "最近的分数",
    taken_pass: "走 on_pass",
    taken_block: "走 on_block",
    stopped: "在此结束",
    through: "已放行",
    passed: "通过",
    blocked: "已拦截",
    toast: "EMoE 拦截了一个提示词",
    why_p: "p = {p},alpha {alpha}",
    why_score: "分数 {score},阈值 {threshold}",
    to_gate: "点击查看闸门。",
    see_gate: "查看闸门",
    setting: "闸门拦截提示词时通知我",
    words: "每个词使不确定性升高多少",
    word: "{word}:{change}",
  },
};

let language = "en";

/** @param {unknown} locale the frontend's own setting, such as "en" or "zh-TW" */
export function speak(locale) {
  const name = String(locale ?? "en").slice(0, 2);
  language = name in WORDS ? name : "en";
}

/**
 * A phrase in the chosen language.
 * @param {string} key
 * @param {Record<string, string | number>} [values] what stands for {name}
 */
export function say(key, values = {}) {
  const phrase = WORDS[language][key] ?? WORDS.en[key] ?? key;
  return phrase.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * A number with a few significant digits.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function short(value, digits = 3) {
  return typeof value === "number" && Number.isFinite(value) ? String(Number(value.toPrecision(digits))) : "–";
}
