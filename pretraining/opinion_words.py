"""Words that carry an opinion, without their polarity: where the masked-LM objective
likes to put its masks.

Written by us. The list says *that* a word judges, never *how*: whether it praises or
blames the model has to find out from the rest of the review.
"""

ENGLISH = """
good great best better nice fine excellent amazing awesome wonderful fantastic superb
brilliant perfect perfectly lovely beautiful beautifully delightful enjoyable
entertaining funny hilarious charming moving touching powerful gripping exciting
fascinating interesting intelligent clever smart original fresh refreshing impressive
outstanding remarkable memorable masterpiece gem classic incredible magnificent solid
decent worthwhile worth love loved loves enjoy enjoyed liked like recommend recommended
favorite favourite fun fabulous terrific extraordinary stunning gorgeous compelling
delicious tasty friendly helpful comfortable clean easy reliable sturdy durable fast
cheap affordable happy pleased satisfied glad pleasant happily
bad worse worst terrible horrible awful poor poorly boring bored dull tedious slow
stupid dumb silly ridiculous lame weak flat bland mediocre disappointing disappointed
disappointment waste wasted annoying irritating pathetic pointless worthless useless
crap garbage trash junk rubbish mess ugly cheesy predictable shallow hollow forgettable
unfunny unwatchable laughable fails failed fail failure lacks lacking hate hated avoid
dreadful painful embarrassing ludicrous absurd confusing messy pretentious sloppy lousy
dirty rude noisy broken expensive overpriced uncomfortable difficult hard flimsy
unreliable sad angry unhappy unpleasant sorry unfortunately sadly
""".split()

CHINESE = """
很好 真好 挺好 太好 好看 好吃 好用 好听 好喝 好评 不好 较好 最好 非常好 不错 很差 太差
差评 较差 最差 差劲 很棒 真棒 太棒 太烂 很烂 烂 满意 不满 失望 喜欢 推荐 不推荐 垃圾
糟糕 糟 值得 不值 后悔 精彩 无聊 经典 完美 优秀 实用 方便 舒服 舒适 干净 脏 漂亮 美观
难看 难吃 难用 难闻 恶心 热情 冷淡 周到 恶劣 耐心 清晰 模糊 流畅 卡顿 便宜 实惠 划算
太贵 坑 上当 假货 正品 劣质 优质 结实 破损 坏 坏了 新鲜 柔软 温馨 吵 安静 赞 点赞 给力
支持 开心 高兴 郁闷 气人 生气 感动 感人 有趣 有意思 没意思 没劲 乏味 枯燥 深刻 肤浅 不行
不爽 很快 很慢 太慢 好 差 棒 坏 一般 凑合 愉快 放心 担心 遗憾 可惜 超值 物有所值
名不虚传 良好 极差 极好 太小 太大 合适 不合适 甜 难喝 香 臭
""".split()
